"""`/tokenize` and `/detokenize`: a text's tokens, and the text of tokens.

A text's tokens are those that it has when it is embedded: cleaned, in the model's own prompt, not cut. There are no
chat templates here, so that special tokens are added to conversations too unless the request says otherwise.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from fastapi import Response

from multi2vec.engine.errors import Unsupported
from multi2vec.engine.wanted import Wanted
from multi2vec.manifest import Manifest
from multi2vec.serve import answers, items, models
from multi2vec.serve.errors import BadRequest
from multi2vec.serve.service import Service

TOKENIZE_EXAMPLE = '{"prompt": "a red cat", "add_special_tokens": true, "return_token_strs": false}'
DETOKENIZE_EXAMPLE = '{"tokens": [101, 102]}'


class TokenizeRequest(msgspec.Struct):
    """`prompt` or `messages` is given. Unknown keys are ignored; null is as good as absent."""

    prompt: str | None = None
    messages: Any = None
    model: str | None = None
    add_special_tokens: bool | None = None
    return_token_strs: bool | None = None


class DetokenizeRequest(msgspec.Struct):
    """The token ids of one text."""

    tokens: list[int]
    model: str | None = None


async def tokenize(service: Service, asked: TokenizeRequest) -> Response:
    """`/tokenize`. Raises `BadRequest`, `Unsupported` for what is no text, and `NotReady`."""
    text = text_of(asked, service.manifest)
    preparer = await _preparer(service)
    wanted = Wanted(special_tokens=asked.add_special_tokens is not False)
    tokens = await asyncio.to_thread(preparer.tokenise, text, wanted)
    return answers.json(
        {
            "count": len(tokens),
            "max_model_len": models.longest_text(service.manifest),
            "tokens": [token.id for token in tokens],
            "token_strs": [token.text for token in tokens] if asked.return_token_strs else None,
        }
    )


async def detokenize(service: Service, asked: DetokenizeRequest) -> Response:
    """`/detokenize`, special tokens included. Raises as `tokenize` does, and `BadInput` for ids beyond the
    vocabulary."""
    preparer = await _preparer(service)
    text = await asyncio.to_thread(lambda: preparer.detokenise(asked.tokens, skip_special_tokens=False))
    return answers.json({"prompt": text})


def text_of(asked: TokenizeRequest, manifest: Manifest) -> str:
    """The text that is asked about. Raises `BadRequest`, and `Unsupported` for a conversation with pictures."""
    if (asked.prompt is None) == (asked.messages is None):
        raise BadRequest(f"a request has either prompt or messages; it looks like {TOKENIZE_EXAMPLE}", param="prompt")
    if asked.prompt is not None:
        return asked.prompt
    item = items.conversation(asked.messages, manifest, "messages")
    if item.modality != "text":
        raise Unsupported("messages hold something else than texts; only texts have tokens")
    return str(item.content)


async def _preparer(service: Service) -> Any:
    lane = (await service.embedder()).lanes.get("text")
    if lane is None:
        raise Unsupported(f"{service.manifest.tag} takes no texts, so it has no tokenizer")
    return lane.preparer
