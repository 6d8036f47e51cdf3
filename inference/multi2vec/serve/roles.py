"""What a text is for: to search with, or to be found. Each API says it with words of its own; a model may have a prompt
for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from multi2vec.manifest import Manifest
from multi2vec.serve.errors import BadRequest

Role = Literal["query", "document"]

# Names that prompts for it have; the first that a model knows counts. Those of one word, and their order, are
# sentence-transformers' own (`encode_query`, `encode_document`); the others are those of models with several tasks.
PROMPTS: Mapping[Role, tuple[str, ...]] = {
    "query": ("query", "retrieval.query"),
    "document": ("document", "passage", "corpus", "retrieval.passage"),
}


# What APIs call the roles.
WORDS: Mapping[str, Role] = {
    "query": "query",
    "search_query": "query",
    "retrieval.query": "query",
    "document": "document",
    "passage": "document",
    "search_document": "document",
    "retrieval.passage": "document",
}


def prompt_for(manifest: Manifest, role: Role | None) -> str | None:
    """Which of the model's prompts texts of that role get, for `Wanted.prompt`.

    A model that has one for the other role only takes texts of this role as they are (""), whatever its default is, as
    sentence-transformers does. Where it has none for either, and for None, its default counts (None).
    """
    named = {each: _first(manifest, names) for each, names in PROMPTS.items()}
    if role is None or not any(named.values()):
        return None
    return named[role] or ""


def prompt_named(manifest: Manifest, name: str | None) -> str | None:
    """Which of the model's prompts is meant by a request that names one, for `Wanted.prompt`: the prompt itself, or
    that for the role which the word means. A model without prompts takes any such word and ignores it.

    Raises `BadRequest` for a name that means none.
    """
    prompts = _prompts(manifest)
    if name is None or name in prompts:
        return name
    role = WORDS.get(name)
    if role is None and prompts:
        known = ", ".join([*sorted(prompts), *(word for word in WORDS if word not in prompts)])
        raise BadRequest(f"there is no prompt or input type {name!r}; it can be {known}")
    return prompt_for(manifest, role)


def is_search(word: str | None) -> bool | None:
    """Whether a request that says this of its texts is a search, for `Wanted.is_search`; None if that does not say."""
    role = WORDS.get(word or "")
    return None if role is None else role == "query"


def _first(manifest: Manifest, names: tuple[str, ...]) -> str | None:
    prompts = _prompts(manifest)
    return next((name for name in names if name in prompts), None)


def _prompts(manifest: Manifest) -> Mapping[str, Any]:
    prompts: Mapping[str, Any] = getattr(manifest.inputs.get("text"), "prompts", {})
    return prompts
