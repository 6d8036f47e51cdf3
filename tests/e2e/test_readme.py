"""The README's collection, import and search, run as they stand there."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
import weaviate

from images.demo.scenes import HELD_OUT, Item, Scene, caption, render
from tests.e2e.weaviate_server import Server
from tests.needs import lacking
from tests.server import ROOT

README = ROOT / "README.md"
MARK = "<!-- test: weaviate -->"

# What the example makes and asks for.
COLLECTION = "Picture"
DESCRIBED = "a large red star on a white background"


def example(readme: str) -> str:
    """The Python block that follows the mark."""
    found = re.search(re.escape(MARK) + r"\s*```python\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    assert found, f"README.md has no Python block after {MARK}"
    return found.group(1)


def _folder_of_pictures(folder: Path) -> list[str]:
    """Pictures of one shape each, in files that are named after what they show."""
    rng = random.Random(40)
    folder.mkdir()
    names = []
    for background in ("white", "black", "gray"):
        for colour, shape in sorted(HELD_OUT):
            if colour == background:
                continue
            scene = Scene(background, Item("large", colour, shape), seed=rng.getrandbits(32))
            names.append(f"{caption(scene)}.png")
            render(scene).save(folder / names[-1])
    return sorted(names)


def test_the_example(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a folder that has pictures it imports them all, and finds the described and the shown one first."""
    if not server.is_ours:
        lacking(
            "the README's collection calls the service that its Weaviate is configured with: WEAVIATE_URL's has another"
        )
    code = example(README.read_text())
    names = _folder_of_pictures(tmp_path / "pictures")
    monkeypatch.chdir(tmp_path)
    # The README's Weaviate is on the port where a user has it.
    monkeypatch.setattr(weaviate, "connect_to_local", lambda **_: server.client())
    try:
        exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    finally:
        with server.client() as client:
            client.collections.delete(COLLECTION)
    imported, by_words, by_picture = capsys.readouterr().out.splitlines()
    assert imported == f"imported {len(names)} of {len(names)} pictures"
    assert by_words.startswith(f"by words: ['{DESCRIBED}.png', ")
    assert by_picture.startswith(f"like {names[0]} ['{names[0]}', ")
