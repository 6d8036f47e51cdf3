"""What some tests need and a machine may lack."""

from __future__ import annotations

import importlib.util
import os
import warnings
from typing import Any, NoReturn

import pytest

NOT_TESTED = "NOT TESTED: "


def lacking(what: str) -> NoReturn:
    """Skip the test, and say so loudly at the end of the run; in CI, which has all that is needed, fail."""
    if os.environ.get("CI"):
        pytest.fail(what, pytrace=False)
    pytest.skip(f"{NOT_TESTED}{what}")


def sentencepiece() -> Any:
    """The package of that name, which SigLIP's original tokenizer is made of; without it the test is skipped."""
    if _sentencepiece is None:
        lacking("sentencepiece is not installed")
    return _sentencepiece


def _imported(name: str) -> Any:
    """A package that warns when it is imported; where warnings are errors, it would end the process later."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name) if importlib.util.find_spec(name) else None


_sentencepiece = _imported("sentencepiece")
