"""What some tests need and a machine may lack."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

NOT_TESTED = "NOT TESTED: "


def lacking(what: str) -> NoReturn:
    """Skip the test, and say so loudly at the end of the run; in CI, which has all that is needed, fail."""
    if os.environ.get("CI"):
        pytest.fail(what, pytrace=False)
    pytest.skip(f"{NOT_TESTED}{what}")
