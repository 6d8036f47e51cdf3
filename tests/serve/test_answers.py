"""Answers are written without anyone else having to wait for it."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import numpy as np
import pytest
from fastapi import Response

from multi2vec.serve import answers

ROWS = np.random.default_rng(4).normal(size=(512, 1024)).astype(np.float32)


async def sent(response: Response) -> bytes:
    """The body that a client gets; it is as long as it says."""
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    await response({"type": "http"}, None, send)  # type: ignore[arg-type]
    assert [message.get("more_body", False) for message in messages[1:]] == [True] * (len(messages) - 2) + [False]
    body = b"".join(message["body"] for message in messages[1:])
    assert dict(messages[0]["headers"])[b"content-length"] == str(len(body)).encode()
    return body


def written(rows: Any, encode: Any = lambda row: row) -> tuple[Any, int]:
    """What a reader of the JSON gets, and how often others had their turn meanwhile."""

    async def main() -> tuple[bytes, int]:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(others())
        parts = await answers.written(rows, encode)
        task.cancel()
        return await sent(answers.json({"rows": parts})), turns

    body, turns = asyncio.run(main())
    return json.loads(body)["rows"], turns


def test_floats_are_those_of_the_vectors() -> None:
    rows, _ = written(ROWS[:4])
    np.testing.assert_array_equal(np.array(rows, dtype=np.float32), ROWS[:4])


def test_rows_that_lie_apart_in_memory() -> None:
    rows, _ = written(ROWS[:4, :100])
    np.testing.assert_array_equal(np.array(rows, dtype=np.float32), ROWS[:4, :100])


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f2"])
def test_base64(dtype: str) -> None:
    rows, _ = written(ROWS[:2], lambda row: answers.base64_of(row, dtype))
    for text, row in zip(rows, ROWS, strict=False):
        np.testing.assert_array_equal(np.frombuffer(base64.b64decode(text), dtype), row.astype(dtype))


def test_vectors_of_tokens() -> None:
    tokens = [ROWS[:3, :8], ROWS[3:4, :8]]
    rows, _ = written(tokens)
    assert [np.shape(each) for each in rows] == [(3, 8), (1, 8)]
    np.testing.assert_array_equal(np.array(rows[0], dtype=np.float32), tokens[0])


def test_a_text_with_the_byte_that_marks_holes() -> None:
    body = asyncio.run(sent(answers.json({"text": "a\0b", "rows": [answers.Part(b"[1]"), answers.Part(b"[2]")]})))
    assert json.loads(body) == {"text": "a\0b", "rows": [[1], [2]]}


def test_none() -> None:
    assert written([])[0] == []


@pytest.mark.parametrize("rows", [ROWS, [ROWS]], ids=["rows", "tokens of one text"])
def test_others_have_their_turn(rows: Any) -> None:
    assert written(rows)[1] > 10
