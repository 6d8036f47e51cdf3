"""Changes of a `tokenizer.json` (https://huggingface.co/docs/tokenizers), which is what serving reads."""

from __future__ import annotations

import json
from typing import Any

from multi2vec.convert.errors import SourceError

TEMPLATE = "TemplateProcessing"


def ending_with(file: str, token: str) -> str:
    """The tokenizer, which puts that token behind each text from now on; it stays when a text is cut.

    Raises `SourceError` when the tokenizer does not know the token, or has a special form of its own.
    """
    data = json.loads(file)
    number = next((each["id"] for each in data["added_tokens"] if each["content"] == token), None)
    if number is None:
        raise SourceError(f"the tokenizer has no special token {token!r} to put behind texts")
    data["post_processor"] = _with_template(data.get("post_processor"))
    template = _templates(data["post_processor"])[-1]
    template["special_tokens"][token] = {"id": token, "ids": [number], "tokens": [token]}
    for name, kind in (("single", 0), ("pair", 1)):
        template[name].append({"SpecialToken": {"id": token, "type_id": kind}})
    return json.dumps(data, ensure_ascii=False)


def all_special(file: str) -> str:
    """The tokenizer, of which all added tokens are special from now on: none of them is what people write."""
    data = json.loads(file)
    data["added_tokens"] = [{**each, "special": True} for each in data["added_tokens"]]
    return json.dumps(data, ensure_ascii=False)


def _with_template(processor: dict[str, Any] | None) -> dict[str, Any]:
    """The steps after tokenisation, one of which puts special tokens where a template has them."""
    if processor is not None and _templates(processor):
        return processor
    parts = [{"Sequence": {"id": name, "type_id": kind}} for name, kind in (("A", 0), ("B", 1))]
    empty = {"type": TEMPLATE, "single": parts[:1], "pair": parts, "special_tokens": {}}
    if processor is None:
        return empty
    if processor["type"] not in ("Sequence", "ByteLevel"):
        raise SourceError(f"a tokenizer with {processor['type']} cannot put a token behind texts")
    before = processor["processors"] if processor["type"] == "Sequence" else [processor]
    return {"type": "Sequence", "processors": [*before, empty]}


def _templates(processor: dict[str, Any]) -> list[dict[str, Any]]:
    each = processor.get("processors", [processor])
    return [step for step in each if step["type"] == TEMPLATE]
