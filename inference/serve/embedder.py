"""From texts and pictures to vectors: prepare, batch, encode, finish. Knows no HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from inference.manifest import ImageSpec, Manifest, Modality
from inference.serve import images
from inference.serve.batcher import Admission, Batcher, Budget
from inference.serve.errors import ClientError, EncodeFailed, Unsupported
from inference.serve.images import PictureLimits, Pixels
from inference.serve.metrics import Metrics
from inference.serve.texts import TextPreparer, Tokens
from inference.serve.vectors import Vectors, are_finite, normalise

Raw = TypeVar("Raw")
Prepared = TypeVar("Prepared")
Row = npt.NDArray[np.float32]

# A text of this many characters is tokenised in about 0.3 ms; longer ones leave the event loop alone.
INLINE_CHARACTERS = 1000

# About what it costs, in padded tokens, to run one more batch of texts.
TEXT_SLACK = 96


class TowerRunner(Protocol):
    """What the embedder needs of an encoder; `parallel`: how many batches it runs at a time."""

    parallel: int

    def encode(self, inputs: Mapping[str, npt.NDArray[Any]]) -> Vectors:
        """One vector per row, float32 (rows, dimensions)."""


@dataclass(frozen=True)
class Work:
    """How much runs at a time, and how much may wait."""

    prepare_threads: int
    picture_batch: int
    text_batch: int
    text_tokens: int
    admission: Admission


class Embedder:
    """Vectors of one model. Every method returns float32 (n, dimensions) in the order of its input."""

    def __init__(
        self,
        manifest: Manifest,
        *,
        text: tuple[TextPreparer, TowerRunner] | None,
        image: tuple[ImageSpec, TowerRunner] | None,
        limits: PictureLimits,
        work: Work,
        metrics: Metrics,
    ) -> None:
        self.manifest = manifest
        self._pool = ThreadPoolExecutor(work.prepare_threads, thread_name_prefix="prepare")
        self._texts: _Lane[str, Tokens] | None = None
        self._pictures: _Lane[str | bytes, Pixels] | None = None
        if text is not None:
            self._texts = self._text_lane(*text, work, metrics)
        if image is not None:
            self._pictures = self._picture_lane(*image, limits, work, metrics)

    @property
    def batchers(self) -> list[Batcher[Any, Any]]:
        """One per tower, for those who watch them."""
        return [lane.batcher for lane in (self._texts, self._pictures) if lane is not None]

    async def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """One vector per text. Texts longer than the model takes are cut at the end."""
        return await self._embed(self._texts, texts, "text")

    async def embed_pictures(self, pictures: Sequence[str | bytes]) -> Vectors:
        """One vector per picture, each a file's bytes or those in base64. Raises `BadInput` and `TooLarge`."""
        return await self._embed(self._pictures, pictures, "image")

    def close(self) -> None:
        """Let go of all threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for batcher in self.batchers:
            batcher.close()

    async def _embed(self, lane: _Lane[Raw, Any] | None, items: Sequence[Raw], modality: Modality) -> Vectors:
        if not items:
            return np.empty((0, self.manifest.dimensions), dtype=np.float32)
        if lane is None:
            raise Unsupported(f"{self.manifest.tag} has no {modality} tower")
        return await lane.embed(items)

    def _text_lane(
        self, preparer: TextPreparer, tower: TowerRunner, work: Work, metrics: Metrics
    ) -> _Lane[str, Tokens]:
        truncated = metrics.truncated

        def prepare(text: str) -> Tokens:
            tokens = preparer.tokenise(text)
            if tokens.truncated:
                truncated.inc()
            return tokens

        async def prepare_here_or_there(text: str) -> Tokens:
            if len(text) <= INLINE_CHARACTERS:
                return prepare(text)
            return await asyncio.get_running_loop().run_in_executor(self._pool, prepare, text)

        batcher = Batcher[Tokens, Row](
            self._runner(tower, preparer.collate),
            name="text",
            workers=tower.parallel,
            budget=Budget(work.text_batch, padded=work.text_tokens, slack=TEXT_SLACK),
            admission=work.admission,
            observer=metrics.tower("text"),
        )
        return _Lane("text", prepare_here_or_there, batcher, metrics, size=len)

    def _picture_lane(
        self, spec: ImageSpec, tower: TowerRunner, limits: PictureLimits, work: Work, metrics: Metrics
    ) -> _Lane[str | bytes, Pixels]:
        def prepare(picture: str | bytes) -> Pixels:
            data = images.decode_base64(picture, limits) if isinstance(picture, str) else picture
            return images.prepare(data, spec, limits)

        async def prepare_there(picture: str | bytes) -> Pixels:
            return await asyncio.get_running_loop().run_in_executor(self._pool, prepare, picture)

        batcher = Batcher[Pixels, Row](
            self._runner(tower, lambda items: {"pixels": np.stack(items)}),
            name="image",
            workers=tower.parallel,
            budget=Budget(work.picture_batch),
            admission=work.admission,
            observer=metrics.tower("image"),
        )
        return _Lane("image", prepare_there, batcher, metrics, size=lambda _: 1)

    def _runner(
        self, tower: TowerRunner, collate: Callable[[Sequence[Prepared]], Mapping[str, npt.NDArray[Any]]]
    ) -> Callable[[Sequence[Prepared]], Sequence[Row]]:
        """Encode and finish a batch, on the batcher's thread."""

        def run(items: Sequence[Prepared]) -> Sequence[Row]:
            vectors = tower.encode(collate(items))
            if not are_finite(vectors):
                raise EncodeFailed("the model gave a vector that is not finite")
            return list(normalise(vectors) if self.manifest.normalise else vectors)

        return run


class _Lane(Generic[Raw, Prepared]):
    """The way of one kind of input: prepare each item, queue it, collect the rows in request order."""

    def __init__(
        self,
        modality: Modality,
        prepare: Callable[[Raw], Awaitable[Prepared]],
        batcher: Batcher[Prepared, Row],
        metrics: Metrics,
        size: Callable[[Prepared], int],
    ) -> None:
        self.batcher = batcher
        self._modality = modality
        self._prepare = prepare
        self._size = size
        self._items = metrics.items.labels(modality)
        self._deduplicated = metrics.deduplicated.labels(modality)
        self._prepare_seconds = metrics.prepare_seconds.labels(modality)
        metrics.watch_queue(modality, lambda: batcher.waiting, lambda: batcher.admitted)

    async def embed(self, items: Sequence[Raw]) -> Vectors:
        """float32 (len(items), dimensions); equal items are computed once."""
        self._items.inc(len(items))
        if len(items) == 1:
            with self.batcher.admit(1):
                return (await self._one(items[0]))[np.newaxis]
        distinct = {item: row for row, item in enumerate(dict.fromkeys(items))}
        self._deduplicated.inc(len(items) - len(distinct))
        with self.batcher.admit(len(distinct)):
            rows = await self._all(list(distinct), items)
        return rows[[distinct[item] for item in items]]

    async def _all(self, distinct: Sequence[Raw], items: Sequence[Raw]) -> Vectors:
        tasks = [asyncio.ensure_future(self._one(item)) for item in distinct]
        try:
            return np.stack(await asyncio.gather(*tasks))
        except ClientError as error:
            failed = next(i for i, task in enumerate(tasks) if task.done() and task.exception() is error)
            position = items.index(distinct[failed])
            raise type(error)(f"{self._modality} {position + 1} of {len(items)}: {error}") from None
        finally:
            for task in tasks:
                task.cancel()

    async def _one(self, item: Raw) -> Row:
        started = time.perf_counter()
        prepared = await self._prepare(item)
        self._prepare_seconds.observe(time.perf_counter() - started)
        return await self.batcher.submit(prepared, self._size(prepared))
