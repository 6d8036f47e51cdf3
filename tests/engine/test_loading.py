"""From a model folder to an embedder: what is refused, and what must not change around it."""

from __future__ import annotations

import asyncio
import dataclasses
import locale
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from multi2vec import manifest as manifests
from multi2vec.engine.encoder import Execution
from multi2vec.engine.errors import DeviceError
from multi2vec.engine.loading import open_model
from multi2vec.engine.plans import compared
from multi2vec.engine.preparers import PREPARERS
from multi2vec.manifest import ManifestError
from tests import toy


@pytest.fixture
def _locale() -> Iterator[None]:
    before = locale.setlocale(locale.LC_ALL)
    locale.setlocale(locale.LC_ALL, "")
    yield
    locale.setlocale(locale.LC_ALL, before)


@pytest.mark.usefixtures("_locale")
def test_filling_a_cache_leaves_the_locale_as_it_was(toy_folder: Path, tmp_path: Path) -> None:
    """OpenVINO changes it while it writes; towers are compiled side by side."""
    before = locale.setlocale(locale.LC_ALL)
    for number in range(10):
        open_model(toy_folder, Execution(precision="f32", cache=tmp_path / str(number))).close()
        assert locale.setlocale(locale.LC_ALL) == before


def test_a_damaged_file_is_what_is_reported(tmp_path: Path) -> None:
    folder = toy.write(tmp_path)
    (folder / "image.xml").write_text("no graph")
    with pytest.raises(ManifestError, match=r"image\.xml does not have the checksum"):
        open_model(folder)


def test_a_device_that_is_not_there(toy_folder: Path) -> None:
    with pytest.raises(DeviceError, match=r"DEVICE=GPU\.5 is not there"):
        open_model(toy_folder, Execution(device="GPU.5"))


def test_a_modality_without_a_preparer(toy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(open_model.__globals__["PREPARERS"], "image")
    with pytest.raises(ManifestError, match="takes inputs of the kind 'image', which this version cannot prepare"):
        open_model(toy_folder)


def test_a_manifest_that_was_changed_on_the_way(toy_folder: Path) -> None:
    whole = manifests.read(toy_folder)
    embedder = open_model(toy_folder, manifest=dataclasses.replace(whole, inputs={"text": whole.spec("text")}))
    assert list(embedder.lanes) == ["text"]
    embedder.close()


def test_closing_lets_go_of_the_threads(toy_folder: Path) -> None:
    before = set(threading.enumerate())
    embedder = open_model(toy_folder, Execution(precision="f32"))
    asyncio.run(embedder.embed("text", ["a red cat"]))
    assert set(threading.enumerate()) - before
    embedder.close(wait=True)
    assert not set(threading.enumerate()) - before


def test_precisions_are_compared_at_batches_that_are_ever_formed() -> None:
    pictures, texts = PREPARERS["image"], PREPARERS["text"]
    assert compared(pictures, 1) == compared(pictures, 8) == (1, 4)
    assert compared(pictures, 17) == (1,)
    assert compared(texts, 16) == compared(texts, 5000) == (8,)
