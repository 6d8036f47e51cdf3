"""From items to vectors: prepare, batch, encode, finish. Knows no HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from multi2vec.engine.errors import Unsupported
from multi2vec.engine.frames import FRAMES, FrameLane
from multi2vec.engine.lanes import Lane
from multi2vec.engine.queues import PartQueue, TowerQueue
from multi2vec.engine.wanted import Embedded, Wanted
from multi2vec.manifest import Manifest
from multi2vec.specs import VIDEO, Modality, word


class Embedder:
    """Vectors of one model. Its coroutines run on any event loop, one loop at a time."""

    def __init__(
        self,
        manifest: Manifest,
        lanes: Mapping[Modality, Lane],
        pools: Sequence[ThreadPoolExecutor],
        *,
        frames: FrameLane | None = None,
    ) -> None:
        """`loading.open_model` makes it out of a model folder. `frames` is for videos as pictures: of a model that was
        not made for videos, and where a vector for each frame is wanted."""
        self.manifest = manifest
        self.lanes = lanes
        self._frames = frames
        self._pools = pools

    async def embed(self, modality: Modality, items: Sequence[Any], wanted: Wanted = Wanted()) -> Embedded:
        """One row per item, in the order of the items; what items can be, the modality's preparer says.

        Raises `ClientError` for an item that cannot be used (its message says which) and for wishes that the model
        cannot fulfil, `Overloaded`, and `EncodeFailed`.
        """
        way = self._way(modality, wanted)
        if way is not None:
            return await way.embed(items, _decided(wanted, len(items)))
        if items:
            raise Unsupported(f"{self.manifest.tag} has no {word(modality)} tower")
        return Embedded(np.empty((0, self.manifest.dimensions), dtype=np.float32), (), 0, (), ())  # type: ignore[arg-type]

    async def embed_several(
        self, items: Mapping[Modality, Sequence[Any]], wanted: Wanted = Wanted()
    ) -> dict[Modality, Embedded]:
        """`embed` for items of several modalities, side by side; the first error ends the others."""
        if len(items) == 1:
            ((modality, given),) = items.items()
            return {modality: await self.embed(modality, given, wanted)}
        wanted = _decided(wanted, sum(map(len, items.values())))
        tasks = {modality: asyncio.ensure_future(self.embed(modality, items[modality], wanted)) for modality in items}
        try:
            await asyncio.gather(*tasks.values())
            return {modality: task.result() for modality, task in tasks.items()}
        finally:
            for task in tasks.values():
                task.cancel()

    def _way(self, modality: Modality, wanted: Wanted) -> Lane | FrameLane | None:
        if modality == VIDEO and (wanted.output == FRAMES or VIDEO not in self.lanes):
            return self._frames
        return self.lanes.get(modality)

    @property
    def queues(self) -> dict[str, TowerQueue | PartQueue]:
        """The towers' queues by name."""
        found = [queue for lane in self.lanes.values() for queue in (lane.queue, lane.parts) if queue is not None]
        return {queue.name: queue for queue in found}

    def close(self, *, wait: bool = False) -> None:
        """Let go of all threads; what runs is finished, and with `wait` before this returns."""
        for pool in self._pools:
            pool.shutdown(wait=wait, cancel_futures=True)
        for queue in self.queues.values():
            queue.batcher.close(wait=wait)


def _decided(wanted: Wanted, items: int) -> Wanted:
    """With whether a request of so many items is a search."""
    return replace(wanted, is_search=items == 1) if wanted.is_search is None else wanted
