"""Converts a model: `multi2vec convert TAG`."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.logging import RichHandler

from multi2vec import places
from multi2vec.convert import checkpoint, custom, recipe
from multi2vec.convert.errors import ConversionError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status: 0 converted, 1 not, 130 interrupted."""
    options = parser().parse_args(arguments)
    console = Console(stderr=True)
    _quiet(console)
    interruption = Interruption()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, interruption)
    wanted = options.tag or places.DEMO
    try:
        chosen = custom.recipe(options.tag, os.environ) or recipe.read(wanted)
        wanted = chosen.tag
        # torch takes seconds to import; a mistyped tag should not wait for it.
        from multi2vec.convert import pipeline

        source = options.source or checkpoint.beside_recipe(wanted)
        pipeline.convert(chosen, source, options.out or default_folder(wanted), options.precision, console)
    except BaseException as error:
        # Libraries may have made another error of it on its way here.
        if interruption.happened:
            console.print("interrupted; nothing was written")
            return 130
        if not isinstance(error, ConversionError):
            raise
        console.print(f"{wanted} was not converted: {error}", style="red", markup=False, highlight=False)
        return 1
    return 0


def default_folder(tag: str) -> Path:
    """Where a converted model goes. Also the demo's: the one in `images/` is part of this project's source."""
    return places.root() / "models" / tag


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="multi2vec convert",
        description="Convert a model to OpenVINO and prove it equal to the original library.",
        epilog=f"tags: {', '.join(recipe.tags())}. A model without a recipe is named by environment variables: "
        + ", ".join(custom.VARIABLES),
    )
    made.add_argument(
        "tag",
        metavar="TAG",
        nargs="?",
        default="",
        help="which model: the name of a recipe in images/ (default: demo), or the name for one without a recipe",
    )
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
    """Show our own warnings; those of the tracer and of deprecations inside libraries are not for the user."""
    handler = RichHandler(console=console, show_path=False, show_time=False)
    logging.basicConfig(level=logging.ERROR, format="%(message)s", handlers=[handler])
    logging.getLogger("multi2vec").setLevel(logging.INFO)
    warnings.simplefilter("ignore")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


class Interruption:
    """Handles signals: remembers that one came, and raises `KeyboardInterrupt`, so that what is half-written goes."""

    def __init__(self) -> None:
        self.happened = False

    def __call__(self, number: int, frame: object) -> NoReturn:
        """A signal."""
        self.happened = True
        raise KeyboardInterrupt
