"""What several tests need."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests import toy
from tests.server import Server, serving

# A busy machine is no failure; how fast things are is the benchmarks' business.
settings.register_profile("calm", deadline=None, max_examples=int(os.environ.get("EXAMPLES", "60")))
settings.load_profile("calm")


@pytest.fixture(scope="session")
def toy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy's model folder; not to be changed."""
    return toy.write(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session")
def server(toy_folder: Path) -> Iterator[Server]:
    """One server with the toy, in f32, for all tests that leave it as it was."""
    with serving(toy_folder, PRECISION="f32") as running:
        yield running
