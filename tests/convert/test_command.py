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

from multi2vec.convert import command, recipe
from tests.convert.conftest import ROOT, python


def test_an_unknown_tag_lists_the_tags_at_once(tmp_path: Path) -> None:
    began = time.monotonic()
    done = python("-m", "multi2vec", "convert", "openai-clop", "--out", str(tmp_path / "m"))
    assert done.returncode == 1
    for tag in recipe.tags():
        assert tag in done.stderr.replace("\n", "")
    assert "Traceback" not in done.stderr
    assert time.monotonic() - began < 30


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
    arguments = ["openai-clip-vit-base-patch32", "--source", str(checkpoint("clip")), "--out", str(tmp_path / "model")]
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
