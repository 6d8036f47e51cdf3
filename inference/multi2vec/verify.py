"""`multi2vec verify`: does a model give what is said of it?

`--published TAG` is about what its authors say: the scores that they show, computed with their texts and pictures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from multi2vec import places

# What a CPU computes in.
PRECISIONS = ("f32", "bf16", "auto")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status: 0 as it is said, 1 not, 2 something is missing."""
    return _published(parser().parse_args(arguments))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="multi2vec verify",
        description="Compute the scores that a model's authors publish, and compare. The exit status is 0 if all are "
        "within their tolerances, 1 if not, and 2 if something is missing.",
    )
    what = made.add_mutually_exclusive_group(required=True)
    what.add_argument("--published", metavar="TAG", help="which model's scores, by its recipe's name or another one")
    made.add_argument("--model", type=Path, metavar="DIR", help="the model folder (default: models/TAG)")
    made.add_argument(
        "--pictures",
        type=Path,
        metavar="DIR",
        default=Path(),
        help="the folder of the authors' pictures, under their file names (default: the working directory)",
    )
    made.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=PRECISIONS[0],
        help="the arithmetic (default: f32, which is the same on every machine)",
    )
    return made


def _published(options: argparse.Namespace) -> int:
    # Beside the package of those who only serve: they lack it, and other questions can be answered without it.
    from rich.console import Console

    from multi2vec.convert import published, scores
    from multi2vec.engine.errors import LoadError
    from multi2vec.manifest import ManifestError

    try:
        known = published.read(options.published)
        folder = options.model or places.model_folder(known.tag)
        is_within = scores.verify(known, folder, options.pictures, options.precision, Console())
    except (published.PublishedError, ManifestError, LoadError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0 if is_within else 1
