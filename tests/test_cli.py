"""`multi2vec`: its commands, and what is said when one cannot run."""

from __future__ import annotations

import subprocess
import sys

import pytest

import multi2vec
from multi2vec import cli


def run(*arguments: str, before: str = "") -> subprocess.CompletedProcess[str]:
    code = f"import sys\n{before}\nfrom multi2vec.cli import main\nsys.exit(main(sys.argv[1:]))"
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    for command in cli.COMMANDS:
        assert command in shown


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_each_command_has_help_of_its_own(command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: multi2vec {command}")


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out.strip() == multi2vec.__version__


def test_an_unknown_command_names_those_that_there_are() -> None:
    done = run("frobnicate")
    assert done.returncode == 2
    assert "serve" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (("convert", "demo"), "torch"),
        (("convert", "demo"), "rich"),
        (("convert", "demo"), "multi2vec.convert"),
        (("verify", "--published", "demo"), "rich"),
        (("verify", "--published", "demo"), "multi2vec.convert"),
    ],
)
def test_a_command_without_what_it_needs_is_one_sentence(arguments: tuple[str, ...], missing: str) -> None:
    done = run(*arguments, before=f"sys.modules[{missing!r}] = None")
    assert done.returncode == 2
    assert "pip install 'multi2vec-openvino[convert]'" in done.stderr
    assert "Traceback" not in done.stderr
