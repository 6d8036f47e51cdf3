"""Helm is needed for all of these tests."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.chart import helm

MISSING = "Helm is not on PATH and HELM does not name it: the chart was not tested"


@pytest.fixture(scope="session", autouse=True)
def helm_is_there() -> None:
    """Without Helm the tests are skipped, but fail in CI."""
    if helm.program():
        return
    if os.environ.get("CI"):
        pytest.fail(MISSING, pytrace=False)
    pytest.skip(MISSING)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """A skipped chart is easily taken for a tested one."""
    if any(MISSING in str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])):
        terminalreporter.section("THE HELM CHART WAS NOT TESTED", red=True, bold=True)
        terminalreporter.line(MISSING, red=True)
