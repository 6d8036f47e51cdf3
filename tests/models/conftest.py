"""Which real-size models are converted, how many texts are sent, and whether what was measured is kept."""

from __future__ import annotations

import pytest

from tests.models.real_sizes import CHOSEN, REAL_SIZES, SECONDS


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds --models, --weights, --requests and --keep-records."""
    parser.addoption(
        "--models", default="chosen", metavar="LIST", help="tags separated by commas, chosen (a few), or all"
    )
    parser.addoption("--weights", default="", help="how weights are stored, instead of what the recipe says")
    parser.addoption("--requests", type=int, default=2000, help="how many texts of all lengths are sent")
    parser.addoption("--keep-records", action="store_true", help="write what was measured to docs/models.json")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per model, which may take half an hour, or longer where that is known."""
    if "tag" in metafunc.fixturenames:
        wanted = metafunc.config.getoption("models")
        lists = {"chosen": CHOSEN, "all": tuple(REAL_SIZES)}
        chosen = lists.get(wanted, wanted.split(","))
        limited = [pytest.param(tag, marks=pytest.mark.timeout(SECONDS.get(tag, 1800))) for tag in chosen]
        metafunc.parametrize("tag", limited)
