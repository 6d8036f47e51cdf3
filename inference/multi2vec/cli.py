"""`multi2vec COMMAND`. Each command is a module of its own, imported when it is asked for."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from multi2vec import __version__


@dataclass(frozen=True)
class Command:
    """A module with `main(arguments) -> exit status`."""

    module: str
    help: str


CONVERT = "pip install 'multi2vec-openvino[convert]', or build an image with build_images.sh"

COMMANDS = {
    "serve": Command("serve.run", "serve a model over HTTP; all settings are environment variables"),
    "check": Command("serve.check", "would this model folder be served here? The same as a start, but nothing listens"),
    "health": Command("serve.health", "is the server on this machine ready? For a container's health check"),
    "convert": Command("convert.command", "convert a model to OpenVINO and prove it equal to the original library"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status."""
    options, rest = _parser().parse_known_args(arguments)
    try:
        module = importlib.import_module(f"multi2vec.{COMMANDS[options.command].module}")
        status: int = module.main(rest)
    except ModuleNotFoundError as error:
        if options.command != "convert":
            raise
        # In an image that serves, the code itself is missing.
        print(f"this is not installed for converting ({error.name} is missing): {CONVERT}", file=sys.stderr)
        return 2
    return status


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="multi2vec", description="Texts and pictures to vectors on OpenVINO.")
    made.add_argument("--version", action="version", version=__version__)
    commands = made.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        # The command's own parser answers --help.
        commands.add_parser(name, help=command.help, add_help=False)
    return made
