"""`/tokenize` and `/decode`: texts to tokens, and token ids to texts.

Unlike there, a token's `text` is what the vocabulary calls it, and `start` and `stop` count characters, not bytes, of
the text as the tokenizer sees it: cleaned, in its prompt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from fastapi import Response

from multi2vec.engine.errors import BadInput
from multi2vec.engine.wanted import Wanted
from multi2vec.serve import answers, items, roles
from multi2vec.serve.dialects.tei.errors import Untokenisable
from multi2vec.serve.dialects.tei.inputs import one_by_one
from multi2vec.serve.service import Service

TOKENIZE_EXAMPLE = '{"inputs": ["a photo of a dog"], "add_special_tokens": true}'
DECODE_EXAMPLE = '{"ids": [[101, 102]], "skip_special_tokens": true}'


class TokenizeRequest(msgspec.Struct):
    """One text or several."""

    inputs: str | list[str]
    add_special_tokens: bool | None = None
    prompt_name: str | None = None


class DecodeRequest(msgspec.Struct):
    """The token ids of one text or of several."""

    ids: list[int | list[int]]
    skip_special_tokens: bool | None = None


async def tokenize(service: Service, asked: TokenizeRequest) -> Response:
    """`/tokenize`. Raises `BadRequest`, `Empty`, and what `_preparer` does."""
    texts = one_by_one(asked.inputs, "inputs")
    prompt = roles.prompt_named(service.manifest, asked.prompt_name)
    wanted = Wanted(prompt=prompt, special_tokens=asked.add_special_tokens is not False)
    preparer = await _preparer(service, len(texts))
    return answers.json(await asyncio.to_thread(lambda: [_tokens(preparer, text, wanted) for text in texts]))


async def decode(service: Service, asked: DecodeRequest) -> Response:
    """`/decode`. Raises as `tokenize` does, and `Untokenisable` for ids beyond the vocabulary."""
    given = one_by_one(asked.ids, "ids")
    skip = asked.skip_special_tokens is not False
    preparer = await _preparer(service, len(given))
    return answers.json(await asyncio.to_thread(lambda: [_text(preparer, ids, skip) for ids in given]))


async def _preparer(service: Service, count: int) -> Any:
    """What tokenises so many texts. Raises `TooLarge`, `NotReady`, and `Untokenisable` without a text tower."""
    items.check_count(count, service.settings.max_items)
    lane = (await service.embedder()).lanes.get("text")
    if lane is None:
        raise Untokenisable(f"{service.manifest.tag} takes no texts, so it has no tokenizer")
    return lane.preparer


def _tokens(preparer: Any, text: str, wanted: Wanted) -> list[dict[str, Any]]:
    return [
        {
            "id": token.id,
            "text": token.text,
            "special": token.is_special,
            "start": None if token.is_special else token.place[0],
            "stop": None if token.is_special else token.place[1],
        }
        for token in preparer.tokenise(text, wanted)
    ]


def _text(preparer: Any, ids: Sequence[int], skip_special_tokens: bool) -> str:
    try:
        return str(preparer.detokenise(ids, skip_special_tokens=skip_special_tokens))
    except BadInput as error:
        raise Untokenisable(error.sentence) from None
