"""What requests of OpenAI's and vLLM's kind may say of how their texts are cut."""

from __future__ import annotations

from typing import Literal

import msgspec

from multi2vec.engine.wanted import Truncation, Wanted
from multi2vec.serve import models
from multi2vec.serve.errors import BadRequest
from multi2vec.serve.service import Service


class Wishes(msgspec.Struct):
    """Unknown keys are ignored; null is as good as absent."""

    model: str | None = None
    truncate_prompt_tokens: int | None = None
    truncation_side: Literal["left", "right"] | None = None


def wanted(asked: Wishes, service: Service, own: Truncation = "refuse") -> Wanted:
    """How texts are cut: `own` where neither the request nor a setting says. Raises `BadRequest` for another model's
    longest text."""
    most, tokens = models.longest_text(service.manifest), asked.truncate_prompt_tokens
    if tokens is not None and (tokens < -1 or tokens > most > 0):
        raise BadRequest(
            f"truncate_prompt_tokens is {tokens}; it is at most {most}, the longest text of this model, or -1 for that",
            param="truncate_prompt_tokens",
        )
    if tokens is None and asked.truncation_side is None:
        return Wanted(truncate=models.truncation(service, own))
    return Wanted(truncate=_side(asked), max_tokens=None if tokens == -1 else tokens)


def _side(asked: Wishes) -> Truncation:
    return "start" if asked.truncation_side == "left" else "end"
