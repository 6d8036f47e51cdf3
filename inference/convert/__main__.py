"""Converts a model: `python -m inference.convert TAG`."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.logging import RichHandler

from inference.convert import recipe
from inference.convert.errors import ConversionError


def main(arguments: list[str] | None = None) -> int:
    """Run the command line. Returns the exit status: 0 converted, 1 not, 130 interrupted."""
    options = parser().parse_args(arguments)
    console = Console(stderr=True)
    _quiet(console)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        chosen = recipe.read(options.tag)
        # torch takes seconds to import; a mistyped tag should not wait for it.
        from inference.convert import pipeline

        pipeline.convert(
            chosen, options.source, options.out or Path("models") / options.tag, options.precision, console
        )
    except ConversionError as error:
        console.print(f"{options.tag} was not converted: {error}", style="red", markup=False, highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; nothing was written")
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m inference.convert",
        description="Convert a model to OpenVINO and prove it equal to the original library.",
        epilog="tags: " + ", ".join(recipe.tags()),
    )
    made.add_argument("tag", metavar="TAG", help="which model: the name of a recipe in images/")
    made.add_argument("--source", type=Path, metavar="DIR", help="a checkpoint on this machine, instead of a download")
    made.add_argument("--out", type=Path, metavar="DIR", help="the model folder to write (default: models/TAG)")
    made.add_argument(
        "--precision",
        choices=("fp32", "fp16"),
        default="fp16",
        help="how weights are stored (default: %(default)s); arithmetic is the server's choice",
    )
    return made


def _quiet(console: Console) -> None:
    """Show our own warnings; those of the tracer and of deprecations inside libraries help no one here."""
    handler = RichHandler(console=console, show_path=False, show_time=False)
    logging.basicConfig(level=logging.ERROR, format="%(message)s", handlers=[handler])
    logging.getLogger("inference").setLevel(logging.INFO)
    warnings.simplefilter("ignore")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


def _terminate(number: int, frame: object) -> NoReturn:
    # As an exception, so that what is half-written is removed.
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
