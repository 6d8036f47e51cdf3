"""Helm is needed for all of these tests."""

from __future__ import annotations

import pytest

from tests.chart import helm
from tests.needs import lacking


@pytest.fixture(scope="session", autouse=True)
def helm_is_there() -> None:
    """Helm."""
    if not helm.program():
        lacking("Helm is not on PATH and HELM does not name it: the chart was not tested")
