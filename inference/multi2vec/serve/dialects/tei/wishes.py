"""What any request to text-embeddings-inference may say of how its texts are embedded."""

from __future__ import annotations

from typing import Literal

from multi2vec.engine.wanted import Wanted
from multi2vec.serve import models, roles
from multi2vec.serve.service import Service

Direction = Literal["Left", "Right", "left", "right"]


def wanted(
    service: Service, truncate: bool | None, direction: Direction | None, prompt_name: str | None = None
) -> Wanted:
    """For null a setting decides whether texts are cut, and else they are. Raises `BadRequest` for a prompt that the
    model lacks."""
    cut = models.truncation(service, "end") != "refuse" if truncate is None else truncate
    side = direction or "right"
    return Wanted(
        prompt=roles.prompt_named(service.manifest, prompt_name),
        is_search=roles.is_search(prompt_name),
        truncate="refuse" if not cut else "start" if side.lower() == "left" else "end",
    )
