"""Videos on their way to frames: threads that wait for the processes which decode."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from multi2vec.engine.items import Fused, Item
from multi2vec.engine.preparers import videos
from multi2vec.engine.preparers.fused import As
from multi2vec.engine.preparers.videos import Film, Video, video_of
from multi2vec.engine.video.decoder import Frame
from multi2vec.engine.video.sampling import Sampling
from multi2vec.engine.work import Limits
from multi2vec.specs import VIDEO

Made = TypeVar("Made")


@dataclass(frozen=True)
class Decoding:
    """Decodes videos, on threads of its own: most of the time they wait."""

    pool: ThreadPoolExecutor
    limits: Limits

    async def frames(self, video: Video, usual: Sampling, make: Callable[[Iterator[Frame]], Made]) -> Made:
        """What `make` makes of the wanted frames, or the usual ones. Raises as `videos.frames` does."""
        left = threading.Event()

        def made() -> Made:
            return make(videos.frames(video, usual, self.limits, lambda: not left.is_set()))

        try:
            return await asyncio.get_running_loop().run_in_executor(self.pool, made)
        finally:
            # Who asked may be gone: the decoder need not go on for nobody.
            left.set()


@dataclass(frozen=True)
class Filmer:
    """Puts films in place of the videos in items, for a model that was made for videos."""

    preparer: As
    decoding: Decoding

    async def filmed(self, item: Any) -> Fused | Film:
        """The fused item, or the video, as its preparer takes it. Raises as `Decoding.frames` does."""
        pieces = [await self._filmed(piece) for piece in self.preparer.pieces(item)]
        return pieces if self.preparer.modality == "fused" else pieces[0].content

    async def _filmed(self, piece: Item) -> Item:
        if piece.modality != VIDEO:
            return piece
        showing = self.preparer.fused.showing
        return replace(piece, content=await self.decoding.frames(video_of(piece.content), showing.usual, showing.film))
