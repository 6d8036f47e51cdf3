"""`/score`: how alike the two sides of each pair are."""

from __future__ import annotations

import time
import uuid
from typing import Any

from fastapi import Response

from multi2vec.engine.items import Item
from multi2vec.manifest import Manifest
from multi2vec.serve import answers, scoring
from multi2vec.serve.errors import BadRequest, under
from multi2vec.serve.service import Service
from multi2vec.serve.wishes import Wishes, wanted

SCORE_EXAMPLE = '{"queries": "a red cat", "documents": ["a cat", "the dog"], "model": "any"}'

# The names of a pair's sides.
PAIRS = (("queries", "documents"), ("queries", "items"), ("data_1", "data_2"), ("text_1", "text_2"))


class ScoreRequest(Wishes):
    """One pair of sides. Each side is one item or a list of them: a text, a picture's data URI, or an object with
    `text` or `content`. `output`, which is not vLLM's own, names the vectors that are compared."""

    queries: Any = None
    documents: Any = None
    items: Any = None
    data_1: Any = None
    data_2: Any = None
    text_1: Any = None
    text_2: Any = None
    output: str | None = None


async def score(service: Service, asked: ScoreRequest) -> Response:
    """Raises `BadRequest`, and what `scoring.score` does."""
    first, second = (side_of(getattr(asked, key), key, service.manifest) for key in pair_of(asked))
    wishes = wanted(asked, service)
    scores = await scoring.score(
        service,
        scoring.side(service.manifest, first, "query", wishes),
        scoring.side(service.manifest, second, "document", wishes),
        asked.output,
    )
    return answers.json(
        {
            "id": f"score-{uuid.uuid4().hex}",
            "object": "list",
            "created": int(time.time()),
            "model": service.manifest.tag,
            "data": [{"index": index, "object": "score", "score": value} for index, value in enumerate(scores.values)],
            "usage": answers.usage(scores.tokens),
        }
    )


def pair_of(asked: ScoreRequest) -> tuple[str, str]:
    """The keys of the two sides. Raises `BadRequest` unless there is one pair and nothing beside it."""
    given = {key for pair in PAIRS for key in pair if getattr(asked, key) is not None}
    for pair in PAIRS:
        if given == set(pair):
            return pair
    known = ", ".join(" with ".join(pair) for pair in PAIRS)
    has = " and ".join(sorted(given)) or "none"
    raise BadRequest(f"a request has one of {known}; this one has {has}; it looks like {SCORE_EXAMPLE}")


def side_of(given: Any, key: str, manifest: Manifest) -> list[Item]:
    """One side's items. Raises `BadRequest` for none, or for what is no item."""
    several = given if isinstance(given, list) else [given]
    if not several:
        raise BadRequest(f"{key} is an empty list; it has at least one item", param=key)
    places = [f"{key}[{index}]" if several is given else key for index in range(len(several))]
    return [item_of(each, key, manifest, place) for each, place in zip(several, places, strict=True)]


def item_of(given: Any, key: str, manifest: Manifest, place: str) -> Item:
    """The item that stands at the place, under the body's key. Raises `BadRequest` for what is none."""
    with under(key):
        return scoring.item(given, manifest, place)
