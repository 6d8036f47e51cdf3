"""The command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from multi2vec.convert import catalogue, command, recipe
from tests.convert.conftest import ROOT, python

WITHOUT_TORCH = """
import sys
from multi2vec.convert.command import main
status = main(sys.argv[1:])
assert "torch" not in sys.modules
sys.exit(status)
"""


def test_an_unknown_tag_names_similar_ones_at_once(tmp_path: Path) -> None:
    done = python("-c", WITHOUT_TORCH, "openai-clip-vit-base-patch23", "--out", str(tmp_path / "m"))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert (
        "there is no recipe for 'openai-clip-vit-base-patch23'; near it are openai-clip-vit-base-patch" in done.stderr
    )


def test_the_list_of_recipes() -> None:
    done = python("-c", WITHOUT_TORCH, "--list")
    assert done.returncode == 0, done.stderr
    assert done.stdout == catalogue.listing() + "\n"


def test_the_recipes_are_right() -> None:
    done = python("-m", "multi2vec", "convert", "--check")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout == f"{len(recipe.tags())} recipes, nothing wrong\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["one", "--tag", "two"], "TAG and --tag are the same"),
        (["--family", "clip"], "--family needs --source"),
        (["--list", "demo"], "--list and --check are about all recipes"),
        (["--check", "--source", "folder"], "--list and --check are about all recipes"),
    ],
)
def test_options_that_do_not_go_together(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_a_model_for_non_commercial_use_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is loaded, and once."""
    (tmp_path / "own.toml").write_text('family = "clip"\nlicence = "cc-by-nc-4.0"\n[source]\npath = "nowhere"\n')
    monkeypatch.setattr(recipe.read, "__defaults__", (tmp_path,))
    assert command.main(["own"]) == 1
    shown = capsys.readouterr().err
    assert shown.count("own is for non-commercial use only (licence cc-by-nc-4.0)") == 1


def test_what_can_go_wrong_is_one_sentence(tmp_path: Path) -> None:
    done = python("-m", "multi2vec", "convert", "openai-clip-vit-base-patch16", "--source", str(tmp_path / "none"))
    assert done.returncode == 1
    assert "was not converted" in done.stderr
    assert "is not there" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_leaves_nothing(
    tmp_path: Path, checkpoint: Callable[[str], Path], number: signal.Signals
) -> None:
    arguments = [
        "--family",
        "clip",
        "--source",
        str(checkpoint("clip")),
        "--tag",
        "own",
        "--out",
        str(tmp_path / "model"),
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "multi2vec", "convert", *arguments],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        env=dict(os.environ),
    )
    deadline = time.monotonic() + 200
    # The temporary folder is there: it is in the middle of its work.
    while not list(tmp_path.iterdir()):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 130, errors.decode()
    assert b"interrupted" in errors
    assert list(tmp_path.iterdir()) == []


SWALLOWED = """
import os, signal, sys
from multi2vec.convert import pipeline
from multi2vec.convert.command import main
from multi2vec.convert.errors import SourceError
def convert(*arguments):
    try:
        os.kill(os.getpid(), signal.SIGINT)
        while True:
            pass
    except BaseException:
        raise SourceError("a library's own words") from None
pipeline.convert = convert
sys.exit(main(["demo"]))
"""


def test_the_default_folder_does_not_depend_on_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command.default_folder("demo") == ROOT / "models" / "demo"
    assert recipe.read("demo").tag == "demo"


def test_an_interruption_that_a_library_took_for_an_error_of_its_own() -> None:
    done = python("-c", SWALLOWED)
    assert done.returncode == 130
    assert "interrupted" in done.stderr


FORGOTTEN = """
import os, signal, sys
from multi2vec.convert import families
from multi2vec.convert.command import main
def load(*arguments):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        while True:
            pass
    except BaseException:
        pass
families.load = load
sys.exit(main(["demo", "--out", sys.argv[1]]))
"""


def test_an_interruption_that_a_library_kept_to_itself(tmp_path: Path) -> None:
    """The conversion ends at its next step."""
    done = python("-c", FORGOTTEN, str(tmp_path / "model"))
    assert done.returncode == 130, done.stderr
    assert list(tmp_path.iterdir()) == []
