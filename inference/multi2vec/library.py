"""The library's door: `open_model`, and a `Model` that any thread may use."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from multi2vec import places
from multi2vec.engine import loading, proof
from multi2vec.engine.embedder import Embedder
from multi2vec.engine.encoder import Execution, Precision
from multi2vec.engine.errors import Closed
from multi2vec.engine.items import Fused, Item
from multi2vec.engine.wanted import Embedded, Wanted
from multi2vec.engine.work import Limits
from multi2vec.manifest import Manifest
from multi2vec.specs import Modality

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image

    # A path, a file's bytes, a picture of Pillow's, or pixels: uint8 (height, width) or (height, width, 3 or 4).
    PictureLike = str | os.PathLike[str] | bytes | Image.Image | npt.NDArray[np.uint8]


def open_model(
    model: str | os.PathLike[str] = places.DEMO,
    *,
    device: str = "CPU",
    precision: Precision = "auto",
    threads: int = 0,
    cache: str | os.PathLike[str] | None = None,
    limits: Limits = Limits(),
) -> Model:
    """Open a model: "demo", the tag of a converted model (in `models/`), or a model folder.

    It is ready when this returns: its files are verified, and it has given the original library's vectors for the
    examples in its manifest. `threads` 0: all CPUs that this process may use. `cache` is a folder for OpenVINO's
    compiled models. Raises `ManifestError` for a folder that cannot be used, `DeviceError` for a device that is not
    there, and `WrongVectors`.
    """
    execution = Execution(
        device=device.upper(), precision=precision, threads=threads, cache=Path(cache) if cache else None
    )
    opened = Model(loading.open_model(_folder(model), execution, limits=limits))
    try:
        opened._run(proof.prove(opened._embedder))
    except BaseException:
        opened.close()
        raise
    return opened


class Model:
    """An open model. Its methods may be called from several threads; their items share batches.

    Close it, or use it in a `with` block: it holds threads and the model's memory.
    """

    def __init__(self, embedder: Embedder) -> None:
        """`open_model` makes it."""
        self._embedder = embedder
        self._loop = asyncio.new_event_loop()
        self._is_closed = False
        self._submitting = threading.Lock()
        # A daemon, so that a model that nobody closed does not keep the interpreter from ending.
        self._thread = threading.Thread(target=self._loop.run_forever, name="multi2vec", daemon=True)
        self._thread.start()

    @property
    def manifest(self) -> Manifest:
        """What the model is: tag, dimensions, prompts, outputs, parity, fingerprint."""
        return self._embedder.manifest

    def embed(
        self,
        *,
        texts: Sequence[str] | None = None,
        pictures: Sequence[PictureLike] | None = None,
        videos: Sequence[Any] | None = None,
        fused: Sequence[Sequence[Mapping[str, Any]]] | None = None,
        wanted: Wanted = Wanted(),
    ) -> Embedded:
        """Vectors of texts, of pictures, of videos, or of fused items; one of the four is given.

        A fused item is a list of `{"text": …}` and `{"picture": …}`, which have one vector together. `Embedded.rows` is
        float32 (items, dimensions) for dense vectors. Raises `BadInput`, `TooLarge`, `Unsupported`, `EncodeFailed` and
        `Closed`; `TypeError` for arguments of another kind.
        """
        arguments: dict[Modality, tuple[Sequence[Any] | None, Callable[[Any], Any]]] = {
            "text": (texts, _as_it_is),
            "image": (pictures, _file),
            "video": (videos, _file),
            "fused": (fused, _parts),
        }
        given = [(modality, items, raw) for modality, (items, raw) in arguments.items() if items is not None]
        if len(given) != 1:
            raise TypeError("embed() takes texts=[…], pictures=[…], videos=[…] or fused=[…], and one of them at a time")
        modality, items, raw = given[0]
        if isinstance(items, str | bytes):
            raise TypeError("embed() takes a list of items; put a single one into brackets")
        embedded: Embedded = self._run(self._embedder.embed(modality, [raw(item) for item in items], wanted))
        return embedded

    def close(self) -> None:
        """Let go of threads and memory. Calls that wait for vectors raise `Closed`; closing twice is no error."""
        with self._submitting:
            if self._is_closed:
                return
            self._is_closed = True
        asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result()
        # While the loop still runs: a batch that ends tells it so.
        self._embedder.close(wait=True)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, work: Any) -> Any:
        with self._submitting:
            if self._is_closed:
                work.close()
                raise Closed(f"{self.manifest.tag} was closed")
            future: Future[Any] = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except CancelledError:
            raise Closed(f"{self.manifest.tag} was closed") from None
        except BaseException:
            # Ctrl-C, for instance: nobody will take the vectors.
            future.cancel()
            raise


def _folder(model: str | os.PathLike[str]) -> Path:
    """A name is a tag's (or means one) where such a model was converted, else a folder's."""
    path = Path(model)
    is_name = isinstance(model, str) and (len(path.parts) == 1 or places.known_tag(model) is not None)
    tagged = places.model_folder(os.fspath(model))
    return tagged if is_name and (tagged.is_dir() or not path.is_dir()) else path


def _as_it_is(item: Any) -> Any:
    return item


def _file(item: Any) -> Any:
    """To the engine a string is base64; here it is a path."""
    return Path(item) if isinstance(item, str | os.PathLike) else item


# What the parts of a fused item are called here.
PARTS: dict[str, tuple[Modality, Callable[[Any], Any]]] = {
    "text": ("text", _as_it_is),
    "picture": ("image", _file),
    "video": ("video", _file),
}


def _parts(item: Sequence[Mapping[str, Any]]) -> Fused:
    given = [pair for part in item for pair in part.items()]
    if unknown := [name for name, _ in given if name not in PARTS]:
        raise TypeError(f"a fused item has a part {unknown[0]!r}; its parts can be {', '.join(PARTS)}")
    return tuple(Item(PARTS[name][0], PARTS[name][1](content)) for name, content in given)


async def _cancel_all() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
