"""Intel's Multimodal Embedding Serving: one input by its type, one vector or a list of them.

The wire format is read from its documentation and its `app.py`. A video is one vector for each of its frames there. It
reads files by any path on the server; here videos alone, below one folder, where that is set.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import msgspec
from fastapi import Response

from multi2vec.engine.frames import FRAMES
from multi2vec.engine.items import Item
from multi2vec.engine.preparers.videos import Video
from multi2vec.engine.rows import Vectors
from multi2vec.engine.video.sampling import Sampling
from multi2vec.engine.wanted import Wanted
from multi2vec.serve import answers, examples, items, models, probes
from multi2vec.serve.dialect import Dialect, Endpoint, Get, Post
from multi2vec.serve.errors import BadRequest, Failure, NotReady
from multi2vec.serve.service import Service
from multi2vec.specs import DENSE, VIDEO

PATH = "/embeddings"
EXAMPLE = '{"model": "any", "input": {"type": "text", "text": "a photo of a dog"}, "encoding_format": "float"}'
EXAMPLES = {
    "a text": {"model": "any", "input": {"type": "text", "text": "a red square"}, "encoding_format": "float"},
    "texts": {"input": {"type": "text", "text": ["a red square", "a blue circle"]}},
    "a picture": {"input": {"type": "image_base64", "image_base64": examples.PICTURE}},
    "frames": {"input": {"type": "video_frames", "video_frames": [{"type": "image_url", "image_url": examples.URI}]}},
}

FOLDER_SETTING = "VIDEO_FOLDER"
# Where the content stands of the types that are one picture, and of those that are a video.
PICTURES = ("image_url", "image_base64")
VIDEOS = ("video_url", "video_base64")

# How many frames of a video there are when nothing is said of them.
USUAL_FRAMES = 64


class EmbeddingsRequest(msgspec.Struct):
    """What `input` holds depends on its `type`. Unknown keys are ignored; null is as good as absent."""

    input: dict[str, Any]
    model: str | None = None
    encoding_format: Literal["float", "base64"] | None = None


class SegmentConfig(msgspec.Struct):
    """Which frames of a video are wanted. Unknown keys are ignored; null is as good as absent."""

    startOffsetSec: float | None = None  # noqa: N815
    clip_duration: float | None = None
    frame_indexes: list[int] | None = None
    extraction_fps: float | None = None
    num_frames: int | None = None
    frame_interval: int | None = None


def endpoints(service: Service) -> tuple[Endpoint, ...]:
    """`/embeddings` for an `input` that is an object; `/models`, `/model/…` and `/health`."""
    manifest = service.manifest

    async def embeddings(asked: EmbeddingsRequest) -> Response:
        given, is_one = parse(asked.input, service.settings.video_folder)
        is_video = given[0].modality == VIDEO
        wanted = Wanted(truncate=models.truncation(service, "end"), output=FRAMES if is_video else DENSE)
        embedded = await items.embed(service, given, wanted)
        rows = list(cast("Vectors", embedded.rows[0])) if is_video else embedded.rows
        vectors = await answers.written(rows, answers.ENCODINGS[asked.encoding_format or "float"])
        return answers.json({"embedding": vectors[0] if is_one else vectors})

    def listed() -> dict[str, Any]:
        return {"current_model": manifest.tag, "available_models": {manifest.family: [manifest.tag]}, "total_models": 1}

    def current() -> dict[str, Any]:
        device = service.execution.device
        return {"model": manifest.tag, "device": device, "use_openvino": True, "fingerprint": manifest.fingerprint}

    def capabilities() -> dict[str, Any]:
        supported = {f"supports_{each}": each in service.modalities for each in ("text", "image", "video")}
        return {"model": manifest.tag, "modalities": service.modalities, **supported}

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


def parse(given: dict[str, Any], folder: Path | None) -> tuple[list[Item], bool]:
    """The input's items, and whether one vector is wanted; videos are named by paths below the folder. Raises
    `BadRequest`."""
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
    if kind == "frames_batch":
        raise BadRequest(f"input.type is {kind!r}, a path on the server, which is never read; send the frames")
    if kind in VIDEOS:
        return [items.video(_string(given, kind), sampling(given.get("segment_config")))], False
    if kind == "video_file":
        path = _below(folder, _string(given, "video_path"))
        return [Item(VIDEO, Video(path, sampling(given.get("segment_config"))))], False
    known = ", ".join(("text", *PICTURES, "video_frames", *VIDEOS, "video_file"))
    raise BadRequest(f"input.type is {kind!r}; it can be {known}; the body looks like {EXAMPLE}")


def sampling(given: Any) -> Sampling:
    """Which frames a `segment_config` wants. Of several ways to say it the first that is there counts: `frame_indexes`,
    `extraction_fps`, `num_frames`, `frame_interval`. Raises `BadRequest`, and `BadInput` for numbers that select
    nothing."""
    try:
        asked = msgspec.convert(given or {}, SegmentConfig)
    except msgspec.ValidationError as error:
        raise BadRequest(f"input.segment_config cannot be used: {error}") from None
    indexes = None if asked.frame_indexes is None else tuple(asked.frame_indexes)
    is_usual = indexes is None and asked.extraction_fps is None and asked.frame_interval is None
    return Sampling(
        indexes=indexes,
        fps=asked.extraction_fps,
        count=USUAL_FRAMES if asked.num_frames is None and is_usual else asked.num_frames,
        every=asked.frame_interval,
        start=asked.startOffsetSec or 0.0,
        duration=asked.clip_duration,
        at="starts",
    )


def _string(given: Mapping[str, Any], key: str) -> str:
    if not isinstance(content := given.get(key), str) or not content:
        raise BadRequest(f"input.{key} is no string")
    return content


def _below(folder: Path | None, path: str) -> Path:
    """The file at that path in the folder. Nothing is told of what is elsewhere, not even whether it is there."""
    if folder is None:
        raise BadRequest("videos on the server are not read here; send the file as video_base64", limit=FOLDER_SETTING)
    root = folder.resolve()
    with contextlib.suppress(ValueError, OSError):
        found = (root / path).resolve()
        if found.is_relative_to(root) and found.is_file():
            return found
    raise BadRequest("input.video_path is no file in the folder of videos; it is a path in there")


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
