"""What Weaviate's modules text2vec-transformers, text2vec-model2vec and img2vec-neural send and expect: one path.

The wire format is read from Weaviate's Go modules (`usecases/modulecomponents/clients/transformers`, which newer
versions extend by lists of texts, and `modules/img2vec-neural/clients`). They also ask for `/meta`, of which they show
whatever it says, and for `/.well-known/ready`. They parse every body as JSON whatever the status, take nothing but 200
for success, and show the string under `error`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi import Response

from multi2vec.engine.wanted import Wanted
from multi2vec.serve import answers, examples, models, roles
from multi2vec.serve.dialect import Dialect, Endpoint, Post
from multi2vec.serve.errors import BadRequest
from multi2vec.serve.items import check_count
from multi2vec.serve.roles import Role
from multi2vec.serve.service import Service
from multi2vec.specs import Modality

PATH = "/vectors"
EXAMPLE = '{"text": "a photo of a dog", "config": {"task_type": "query"}}'

EXAMPLES = {
    "one text": {"text": "a red square", "config": {"task_type": "query"}},
    "several texts": {"texts": ["a red square", "a blue circle"], "config": {"task_type": "passage"}},
    "a picture": {"id": "1", "image": examples.PICTURE},
}

# "" is what an older version's empty field looks like.
TASKS: dict[str | None, Role | None] = {None: None, "": None, "query": "query", "passage": "document"}


class Config(msgspec.Struct):
    """How the texts are meant. Weaviate always sends a `pooling_strategy` too, which most users never chose: pooling is
    the model's own, so that key is ignored like unknown ones."""

    task_type: str | None = None
    dimensions: int | None = None


class VectorsRequest(msgspec.Struct):
    """One of `text`, `texts` and `image` (base64) is given. Unknown keys are ignored; null means none."""

    text: str | None = None
    texts: list[str] | None = None
    image: str | None = None
    id: str | None = None
    config: Config | None = None


@dataclass(frozen=True)
class Form:
    """A kind of request: the modality of its items, and the answer that is made of the request, their vectors as they
    are written, and how many dimensions these have."""

    modality: Modality
    answer: Callable[[VectorsRequest, Sequence[Any], int], dict[str, Any]]


def _text(request: VectorsRequest, vectors: Sequence[Any], dimensions: int) -> dict[str, Any]:
    # Weaviate reads `dims`; its own container writes `dim`.
    return {"text": request.text, "vector": vectors[0], "dim": dimensions, "dims": dimensions}


def _texts(request: VectorsRequest, vectors: Sequence[Any], dimensions: int) -> dict[str, Any]:
    return {"vectors": vectors, "dims": dimensions}


def _image(request: VectorsRequest, vectors: Sequence[Any], dimensions: int) -> dict[str, Any]:
    return {"id": request.id or "", "vector": vectors[0], "dim": dimensions}


# By the request's field.
FORMS: dict[str, Form] = {"text": Form("text", _text), "texts": Form("text", _texts), "image": Form("image", _image)}


def endpoints(service: Service) -> tuple[Endpoint, ...]:
    """`/vectors`."""

    async def vectors(asked: VectorsRequest) -> Response:
        form, items = parse(asked, service.settings.max_items)
        wanted = wishes(asked.config or Config(), service)
        embedder = await service.embedder()
        rows: Any = (await embedder.embed(form.modality, items, wanted)).rows
        return answers.json(form.answer(asked, await answers.written(rows), rows.shape[1]))

    return (Post(PATH, vectors, VectorsRequest, EXAMPLE, "vectors of texts or of a picture", EXAMPLES),)


DIALECT = Dialect("weaviate text2vec-transformers", endpoints, answers.error_string)


def parse(request: VectorsRequest, most: int) -> tuple[Form, Sequence[str]]:
    """The request's form and its items. Raises `BadRequest` unless it is of one form, and `TooLarge` for more than
    `most` items."""
    given = {field: value for field in FORMS if (value := getattr(request, field)) is not None}
    if len(given) != 1:
        has = " and ".join(given) or "none"
        raise BadRequest(f"{PATH} takes one of {', '.join(FORMS)}; the body has {has}; it looks like {EXAMPLE}")
    ((field, value),) = given.items()
    items = [value] if isinstance(value, str) else value
    check_count(len(items), most)
    return FORMS[field], items


def wishes(config: Config, service: Service) -> Wanted:
    """What the configuration asks for, in the model's words. Raises `BadRequest` for a task that Weaviate lacks."""
    if config.task_type not in TASKS:
        known = " or ".join(f'"{name}"' for name in TASKS if name)
        raise BadRequest(f'config.task_type is "{config.task_type}"; it can be {known}, or absent')
    return Wanted(
        prompt=roles.prompt_for(service.manifest, TASKS[config.task_type]),
        is_search=roles.is_search(config.task_type),
        truncate=models.truncation(service, "end"),
        dimensions=config.dimensions,
    )
