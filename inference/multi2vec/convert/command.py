"""Converts a model: `multi2vec convert TAG`."""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, get_args

from rich.console import Console
from rich.logging import RichHandler

from multi2vec import places
from multi2vec.convert import catalogue, checkpoint, custom, licences, recipe
from multi2vec.convert.errors import ConversionError
from multi2vec.convert.recipe import Recipe
from multi2vec.manifest import Stored


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status: 0 converted, 1 not, 130 interrupted."""
    made = parser()
    options = made.parse_args(arguments)
    _check_usage(made, options)
    if options.list or options.check:
        return _catalogue(options)
    console = Console(stderr=True)
    _quiet(console)
    interruption = Interruption()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, interruption)
    wanted = options.tag or places.DEMO
    try:
        chosen, source = _chosen(options)
        wanted = chosen.tag
        if chosen.non_commercial:
            console.print(licences.warning(chosen.tag, chosen.licence), style="yellow", markup=False, highlight=False)
        # torch takes seconds to import; a mistyped tag should not wait for it.
        from multi2vec.convert import pipeline

        target = options.out or default_folder(wanted)
        stored = options.weights or chosen.weights
        pipeline.convert(chosen, source, target, stored, console, interruption.check)
    except BaseException as error:
        # Libraries may have made another error of it on its way here.
        if interruption.happened:
            console.print("interrupted; nothing was written")
            return 130
        if not isinstance(error, ConversionError):
            raise
        # In one line, however narrow the terminal: logs are searched for it.
        console.print(
            f"{wanted} was not converted: {error}", style="red", markup=False, highlight=False, soft_wrap=True
        )
        return 1
    return 0


def _chosen(options: argparse.Namespace) -> tuple[Recipe, Path | None]:
    """What is to be converted, and the folder of its checkpoint if it is on this machine. Raises `RecipeError`."""
    if options.family:
        chosen, folder = custom.from_options(options.tag, options.family, options.source)
    else:
        chosen = custom.from_variables(options.tag, os.environ) or recipe.read(options.tag or places.DEMO)
        folder = Path(options.source) if options.source else None
    return chosen, folder or checkpoint.beside_recipe(chosen.tag)


def _catalogue(options: argparse.Namespace) -> int:
    """Answer --list or --check. Returns the exit status."""
    try:
        if options.list:
            # Cut to a terminal; whole lines for another program.
            print(catalogue.listing(width=shutil.get_terminal_size().columns if sys.stdout.isatty() else None))
            return 0
    except ConversionError as error:
        print(error, file=sys.stderr)
        return 1
    from multi2vec.convert import catalogue_check

    warnings.simplefilter("ignore")
    faults = catalogue_check.faults()
    print(*(faults or [f"{len(recipe.tags())} recipes, nothing wrong"]), sep="\n")
    return 1 if faults else 0


def default_folder(tag: str) -> Path:
    """Where a converted model goes. Also the demo's: the one in `images/` is part of this project's source."""
    return places.root() / "models" / tag


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="multi2vec convert",
        description="Convert a model to OpenVINO and prove it equal to the original library.",
        epilog="A model without a recipe: --family FAMILY --source SOURCE --tag NAME, or environment variables: "
        + ", ".join(custom.VARIABLES),
    )
    made.add_argument(
        "tag",
        metavar="TAG",
        nargs="?",
        default="",
        help="which model: the name of a recipe in images/ (default: demo), another name of the same model, such as "
        "that of its repository on the hub, or the name that you give to one without a recipe",
    )
    made.add_argument("--tag", dest="named", default="", metavar="TAG", help="the same as TAG")
    made.add_argument("--list", action="store_true", help="show all recipes and end")
    made.add_argument("--check", action="store_true", help="check all recipes without their models and end")
    made.add_argument(
        "--family",
        metavar="FAMILY",
        help="convert a model without a recipe, of this family (see --list), from --source",
    )
    made.add_argument(
        "--source",
        metavar="SOURCE",
        help="the folder of a checkpoint on this machine, instead of a download; with --family also OWNER/NAME or "
        "OWNER/NAME@REVISION on the hub, for open_clip ARCHITECTURE/PRETRAINED of its catalogue",
    )
    made.add_argument("--out", type=Path, metavar="DIR", help="the model folder to write (default: models/TAG)")
    made.add_argument(
        "--weights",
        choices=get_args(Stored),
        help="how weights are stored (default: as the recipe says, else fp16); arithmetic is the server's choice",
    )
    return made


def _check_usage(made: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End the program (status 2) for options that do not go together; else leave the tag in `options.tag`."""
    if options.tag and options.named:
        made.error("TAG and --tag are the same; give one")
    options.tag = options.tag or options.named
    if options.family and not options.source:
        made.error("--family needs --source")
    if (options.list or options.check) and (options.tag or options.family or options.source):
        made.error("--list and --check are about all recipes; give nothing else")


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

    def check(self) -> None:
        """Raise `KeyboardInterrupt` if a signal came: a library may have kept the first one to itself."""
        if self.happened:
            raise KeyboardInterrupt
