"""One input or several under one key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from multi2vec.serve.dialects.tei.errors import Empty
from multi2vec.serve.errors import BadRequest


def one_by_one(given: str | Sequence[Any], key: str) -> list[Any]:
    """The texts and lists of token ids that stand under the key; a list of numbers is a single one. Raises `Empty` for
    none, or for one without token ids, and `BadRequest` for numbers among others."""
    if isinstance(given, str):
        return [given]
    numbers = [each for each in given if isinstance(each, int)]
    if numbers and len(numbers) < len(given):
        raise BadRequest(f"{key} has token ids beside other inputs; the ids of each input are a list", param=key)
    if not given or [] in given:
        raise Empty(f"{key} is empty or holds an empty list; there must be something in it", param=key)
    return [numbers] if numbers else list(given)
