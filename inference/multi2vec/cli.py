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
    """A module with `main(arguments) -> exit status`. `remedy`: what to do where some of what it needs is
    not installed; None: it needs nothing but what is always there."""

    module: str
    help: str
    remedy: str | None = None


EXTRA = "pip install 'multi2vec-openvino[convert]'"

COMMANDS = {
    "serve": Command("serve.run", "serve a model over HTTP; all settings are environment variables"),
    "check": Command("serve.check", "would this model folder be served here? The same as a start, but nothing listens"),
    "health": Command("serve.health", "is the server on this machine ready? For a container's health check"),
    "convert": Command(
        "convert.command",
        "convert a model to OpenVINO and prove it equal to the original library",
        f"{EXTRA}, or build an image with build_images.sh",
    ),
    "verify": Command("verify", "does a model give the scores that its authors publish?", EXTRA),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status."""
    options, rest = _parser().parse_known_args(arguments)
    try:
        module = importlib.import_module(f"multi2vec.{COMMANDS[options.command].module}")
        status: int = module.main(rest)
    except ModuleNotFoundError as error:
        remedy = COMMANDS[options.command].remedy
        if remedy is None:
            raise
        # In an image that serves, the code itself is missing.
        print(f"multi2vec {options.command} cannot run here ({error.name} is missing): {remedy}", file=sys.stderr)
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
