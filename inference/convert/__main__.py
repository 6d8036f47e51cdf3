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

from inference.convert import checkpoint, custom, recipe
from inference.convert.errors import ConversionError

DEMO = "demo"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line. Returns the exit status: 0 converted, 1 not, 130 interrupted."""
    options = parser().parse_args(arguments)
    console = Console(stderr=True)
    _quiet(console)
    interruption = Interruption()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, interruption)
    wanted = options.tag or DEMO
    try:
        chosen = custom.recipe(options.tag, os.environ) or recipe.read(wanted)
        wanted = chosen.tag
        # torch takes seconds to import; a mistyped tag should not wait for it.
        from inference.convert import pipeline

        source = options.source or checkpoint.beside_recipe(wanted)
        pipeline.convert(chosen, source, options.out or Path("models") / wanted, options.precision, console)
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


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m inference.convert",
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
    """Show our own warnings; those of the tracer and of deprecations inside libraries help no one here."""
    handler = RichHandler(console=console, show_path=False, show_time=False)
    logging.basicConfig(level=logging.ERROR, format="%(message)s", handlers=[handler])
    logging.getLogger("inference").setLevel(logging.INFO)
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


if __name__ == "__main__":
    sys.exit(main())
