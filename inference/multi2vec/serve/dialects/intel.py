"""Intel's Multimodal Embedding Serving: one input by its type, one vector or a list of them.

The wire format is read from its documentation and its `app.py`. A video is one vector for each of its frames there. It
reads video files by their path on the server, which this one never does.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from fastapi import Response

from multi2vec.engine.errors import Unsupported
from multi2vec.engine.items import Item
from multi2vec.engine.wanted import Wanted
from multi2vec.serve import answers, examples, items, models, probes
from multi2vec.serve.dialect import Dialect, Endpoint, Get, Post
from multi2vec.serve.errors import BadRequest, Failure, NotReady
from multi2vec.serve.service import Service

PATH = "/embeddings"
EXAMPLE = '{"model": "any", "input": {"type": "text", "text": "a photo of a dog"}, "encoding_format": "float"}'
EXAMPLES = {
    "a text": {"model": "any", "input": {"type": "text", "text": "a red square"}, "encoding_format": "float"},
    "texts": {"input": {"type": "text", "text": ["a red square", "a blue circle"]}},
    "a picture": {"input": {"type": "image_base64", "image_base64": examples.PICTURE}},
    "frames": {"input": {"type": "video_frames", "video_frames": [{"type": "image_url", "image_url": examples.URI}]}},
}

# Where the content stands of the types that are one picture, and of those that are a video.
PICTURES = ("image_url", "image_base64")
VIDEOS = ("video_url", "video_base64")
PATHS = ("video_file", "frames_batch")


class EmbeddingsRequest(msgspec.Struct):
    """What `input` holds depends on its `type`. Unknown keys are ignored; null is as good as absent."""

    input: dict[str, Any]
    model: str | None = None
    encoding_format: Literal["float", "base64"] | None = None


def endpoints(service: Service) -> tuple[Endpoint, ...]:
    """`/embeddings` for an `input` that is an object; `/models`, `/model/…` and `/health`."""
    manifest = service.manifest

    async def embeddings(asked: EmbeddingsRequest) -> Response:
        given, is_one = parse(asked.input, manifest.tag)
        wanted = Wanted(truncate=models.truncation(service, "end"))
        embedded = await items.embed(service, given, wanted)
        vectors = await answers.written(embedded.rows, answers.ENCODINGS[asked.encoding_format or "float"])
        return answers.json({"embedding": vectors[0] if is_one else vectors})

    def listed() -> dict[str, Any]:
        return {"current_model": manifest.tag, "available_models": {manifest.family: [manifest.tag]}, "total_models": 1}

    def current() -> dict[str, Any]:
        device = service.execution.device
        return {"model": manifest.tag, "device": device, "use_openvino": True, "fingerprint": manifest.fingerprint}

    def capabilities() -> dict[str, Any]:
        supported = {f"supports_{each}": each in manifest.modalities for each in ("text", "image", "video")}
        return {"model": manifest.tag, "modalities": manifest.modalities, **supported}

    def health() -> dict[str, Any]:
        if failure := probes.ready(service):
            raise NotReady(failure.message)
        return {"status": "healthy"}

    return (
        Post(
            PATH,
            embeddings,
            EmbeddingsRequest,
            EXAMPLE,
            "vectors of one input by its type",
            EXAMPLES,
            is_mine=lambda keys: keys.opens("input") == "{",
        ),
        *(Get(path, listed) for path in ("/models", "/model/list")),
        Get("/model/current", current),
        Get("/model/capabilities", capabilities),
        Get("/health", health),
    )


def render_error(failure: Failure) -> Response:
    """`{"detail": "…"}`. Another model's name, and a modality that the model lacks, are 400 there."""
    status = 400 if failure.reason in ("unknown_model", "unsupported") else failure.status
    return answers.json({"detail": failure.message}, status)


DIALECT = Dialect("intel", endpoints, render_error)


def parse(given: dict[str, Any], tag: str) -> tuple[list[Item], bool]:
    """The input's items, and whether it is a single one. Raises `BadRequest`, and `Unsupported` for a video."""
    kind = given.get("type")
    if kind == "text":
        return _texts(given.get("text"))
    if kind in PICTURES:
        return [_picture(given, "input")], True
    if kind == "video_frames":
        frames = given.get("video_frames")
        if not isinstance(frames, list) or not frames:
            raise BadRequest("input.video_frames is no list of pictures; each is like an input of a picture")
        return [_picture(frame, f"input.video_frames[{place}]") for place, frame in enumerate(frames)], False
    if kind in PATHS:
        raise BadRequest(f"input.type is {kind!r}, a path on the server, which is never read; send the frames")
    if kind in VIDEOS:
        raise Unsupported(f"{tag} has no video tower; send the frames as video_frames")
    known = ", ".join(("text", *PICTURES, "video_frames"))
    raise BadRequest(f"input.type is {kind!r}; it can be {known}; the body looks like {EXAMPLE}")


def _texts(given: Any) -> tuple[list[Item], bool]:
    several = given if isinstance(given, list) else [given]
    if not several or not all(isinstance(each, str) for each in several):
        raise BadRequest("input.text is neither a text nor a list of texts")
    return [items.text(each) for each in several], several is not given


def _picture(given: Any, where: str) -> Item:
    kind = given.get("type") if isinstance(given, dict) else None
    content = given.get(kind) if kind in PICTURES else None
    if not isinstance(content, str):
        raise BadRequest(f"{where} is no picture; its type is image_url or image_base64, and a string stands under it")
    return items.picture(content)
