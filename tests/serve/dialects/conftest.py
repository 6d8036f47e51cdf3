"""Servers that tests of several dialects ask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests import toy, toy_fused
from tests.serve import several
from tests.server import Server, serving


@pytest.fixture(scope="session")
def prompted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Texts alone, with prompts for queries and passages, whose vectors can be cut."""
    folder = toy.write_texts(tmp_path_factory.mktemp("texts"), text=replace(toy.TEXT, prompts=toy.PROMPTS))
    with serving(folder, PRECISION="f32") as running:
        yield running


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Texts with a dense vector and the vectors of their tokens; its vectors are not normalised."""
    folder = several.write_tokens(tmp_path_factory.mktemp("tokens"))
    with serving(folder, PRECISION="f32", NORMALISE="false") as running:
        yield running


@pytest.fixture(scope="session")
def queries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Pictures with several vectors."""
    with serving(several.write_queries(tmp_path_factory.mktemp("queries")), PRECISION="f32") as running:
        yield running


@pytest.fixture(scope="session")
def filming(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of a fused model that was made for videos."""
    folder = toy_fused.write(tmp_path_factory.mktemp("filming"), spec=toy_fused.WITH_VIDEOS)
    with serving(folder, PRECISION="f32") as running:
        yield running


@pytest.fixture(scope="session")
def fused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Texts and pictures in one item."""
    with serving(toy_fused.write(tmp_path_factory.mktemp("fused")), PRECISION="f32") as running:
        yield running


@pytest.fixture(scope="session")
def pictures_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Pictures alone."""
    with serving(several.write_pictures(tmp_path_factory.mktemp("pictures")), PRECISION="f32") as running:
        yield running
