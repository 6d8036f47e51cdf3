"""Videos through a model of pictures: the vectors of some frames, or one for the whole video out of them.

The whole video's is the mean of its frames' vectors at unit length, as ImageBind averages clips (arXiv 2305.05665).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from multi2vec.engine.errors import ClientError
from multi2vec.engine.films import Decoding
from multi2vec.engine.lanes import Lane
from multi2vec.engine.observer import LaneObserver
from multi2vec.engine.preparers import Prepared
from multi2vec.engine.preparers.videos import USUAL, Video, video_of
from multi2vec.engine.queues import Encoded
from multi2vec.engine.vectors import Finisher, normalise
from multi2vec.engine.video.decoder import Frame
from multi2vec.engine.wanted import Embedded, Spent, Wanted
from multi2vec.manifest import Manifest
from multi2vec.specs import DENSE, OutputSpec

# The output that has a vector for each frame.
FRAMES = "frames"


class FrameLane:
    """The way of videos: decode and prepare their frames, let the lane of pictures encode each meanwhile, put them
    together."""

    def __init__(self, manifest: Manifest, pictures: Lane, decoding: Decoding, observer: LaneObserver) -> None:
        self.queue, self.parts = pictures.queue, pictures.parts
        self.outputs = (OutputSpec(DENSE, manifest.dimensions), OutputSpec(FRAMES, manifest.dimensions, "tokens"))
        self._manifest, self._pictures = manifest, pictures
        self._decoding, self._observer = decoding, observer

    async def embed(self, items: Sequence[Any], wanted: Wanted) -> Embedded:
        """One row per video: `dense`, or with the output `frames` float32 (frames, dimensions)."""
        with self._observer.embedding():
            finisher = Finisher(self._manifest, self.outputs, wanted)
            self._observer.received(len(items), is_search=bool(wanted.is_search))
            videos = [video_of(item) for item in items]
            with self.queue.batcher.admit(len(videos)):
                found = await self._all(videos, wanted)
            whole = wanted.output == DENSE
            rows = [_mean(frames) if whole else np.stack([each.row for each in frames]) for frames in found]  # type: ignore[misc]
            tokens = [sum(frame.tokens for frame in frames) for frames in found]
            self._observer.embedded(tokens, 0, (frame.batch for frames in found for frame in frames))
            spent = [_longest(frames) for frames in found]
            return Embedded(finisher.finish(rows), tokens, 0, spent, [None] * len(rows))

    async def _all(self, videos: Sequence[Video], wanted: Wanted) -> list[list[Encoded]]:
        tasks = [asyncio.ensure_future(self._one(video, wanted)) for video in videos]
        try:
            return await asyncio.gather(*tasks)
        except ClientError as error:
            place = next(i for i, task in enumerate(tasks) if task.done() and task.exception() is error)
            raise error if len(videos) == 1 else error.about(f"video {place + 1} of {len(videos)}") from None
        finally:
            for task in tasks:
                task.cancel()

    async def _one(self, video: Video, wanted: Wanted) -> list[Encoded]:
        started, loop = time.perf_counter(), asyncio.get_running_loop()
        sent: list[asyncio.Task[Encoded]] = []
        over = asyncio.Event()

        def send(frame: Prepared) -> None:
            # The thread may be one frame behind when whoever asked is gone.
            if over.is_set():
                return
            sent.append(loop.create_task(self._pictures.encoded(frame, DENSE, time.perf_counter() - started)))

        def prepare(frames: Iterator[Frame]) -> None:
            for frame in frames:
                loop.call_soon_threadsafe(send, self._pictures.preparer.prepare(frame.pixels, wanted))

        try:
            await self._decoding.frames(video, USUAL, prepare)
            self._observer.prepared(time.perf_counter() - started)
            return await asyncio.gather(*sent)
        finally:
            over.set()
            for task in sent:
                task.cancel()


def _mean(frames: Sequence[Encoded]) -> Any:
    return normalise(np.stack([frame.row for frame in frames])).mean(axis=0)  # type: ignore[misc]


def _longest(frames: Sequence[Encoded]) -> Spent:
    return Spent(
        max(frame.spent.prepare for frame in frames),
        max(frame.spent.wait for frame in frames),
        max(frame.spent.encode for frame in frames),
    )
