"""The server's life: loading → ready → draining, and what happens when inference breaks.

    loading ──→ ready ⇄ unhealthy ──→ failed
       │          │
       └→ failed  └→ draining

`unhealthy`: several batches failed in a row. The examples are tried again until they pass. `failed`: they do not, or a
batch never came back: only a new process can help, so `live` fails and the orchestrator makes one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from inference import manifest as manifests
from inference.manifest import Manifest
from inference.serve import memory
from inference.serve.batcher import Admission
from inference.serve.embedder import Embedder, Work
from inference.serve.encoder import Encoder, Execution
from inference.serve.errors import NotReady, ServiceError
from inference.serve.images import PictureLimits
from inference.serve.metrics import Metrics
from inference.serve.resources import usable_cpus
from inference.serve.settings import Settings
from inference.serve.texts import TextPreparer
from inference.serve.vectors import normalise

logger = logging.getLogger(__name__)

State = Literal["loading", "ready", "unhealthy", "failed", "draining"]

FAILURES_UNTIL_UNHEALTHY = 3
RECOVERY_TRIES = 5
WATCH_SECONDS = 1.0

# A server's vectors for the manifest's examples against the original library's. Conversion holds bf16 to 0.999; below
# this the machine computes something else.
SMALLEST_COSINE = 0.99


class SelfTestFailed(RuntimeError):
    """This machine's vectors for the examples are not the original library's."""


class Service:
    """One model, from folder to answers. `embedder` may be used once the state is ready."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        """Read the manifest. Raises `ManifestError` for a folder that cannot be served."""
        self.settings = settings
        self.metrics = metrics
        self.manifest = _override(manifests.read(settings.model_folder), settings)
        self.state: State = "loading"
        self.reason = "the model is loading"
        self.execution = execution(settings)
        self.precision = "unknown"
        self.streams: dict[str, int] = {}
        self._embedder: Embedder | None = None
        self._recovery_tries = 0
        self._loaded = asyncio.Event()
        metrics.ready.set_function(lambda: self.is_ready)

    @property
    def is_ready(self) -> bool:
        """Whether requests are taken."""
        return self.state == "ready"

    async def embedder(self) -> Embedder:
        """The way to vectors. While the model is loading, wait for it: Weaviate never asks twice, so a request that
        arrives early is better answered late. Draining, it still answers. Raises `NotReady`."""
        if self.state == "loading":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._loaded.wait(), self.settings.max_wait)
        if self._embedder is None or self.state in ("loading", "failed"):
            raise NotReady(self.reason)
        return self._embedder

    async def load(self) -> None:
        """Verify, compile and warm up through the whole path. Raises what makes the folder or device unusable."""
        started = time.monotonic()
        try:
            self._embedder = await asyncio.to_thread(self._build)
            await self.self_test(self._embedder)
            await asyncio.to_thread(memory.release)
        except Exception as error:
            self._to("failed", f"the model cannot be loaded: {error}")
            raise
        finally:
            self._loaded.set()
        how = self.execution
        reason = f"{how.device}, {self.precision}, {how.threads} threads"
        if self.state == "loading":
            self._to("ready", f"after {time.monotonic() - started:.1f} s ({reason})")

    async def watch(self) -> None:
        """Look after the workers until cancelled."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            await self._look()

    def drain(self) -> None:
        """Not ready from now on; what is in flight is finished."""
        self._to("draining", "the server is shutting down")

    def close(self) -> None:
        """Let go of all threads."""
        if self._embedder is not None:
            self._embedder.close()

    async def self_test(self, embedder: Embedder) -> None:
        """Run the manifest's examples through the whole path. Raises `SelfTestFailed` for wrong vectors."""
        for example in self.manifest.examples:
            embed = embedder.embed_texts if example.modality == "text" else embedder.embed_pictures
            vector = (await embed([example.content]))[0]
            cosine = float(np.dot(*normalise(np.array([vector, example.vector], dtype=np.float32))))
            if cosine < SMALLEST_COSINE:
                raise SelfTestFailed(
                    f"an example {example.modality} gives a vector at cosine {cosine:.4f} to the original library's; "
                    f"at least {SMALLEST_COSINE} is needed (DEVICE={self.execution.device}, precision {self.precision})"
                )

    async def _look(self) -> None:
        embedder = self._embedder
        if embedder is None or self.state not in ("ready", "unhealthy"):
            return
        if any(batcher.longest_run > self.settings.stall_seconds for batcher in embedder.batchers):
            self._to("failed", f"a batch has been running for more than {self.settings.stall_seconds:g} s")
        elif any(batcher.failures_in_row >= FAILURES_UNTIL_UNHEALTHY for batcher in embedder.batchers):
            self._to("unhealthy", "inference failed several times in a row")
            await self._recover(embedder)
        else:
            self._recovery_tries = 0
            self._to("ready", "all workers are well")

    async def _recover(self, embedder: Embedder) -> None:
        self._recovery_tries += 1
        try:
            await self.self_test(embedder)
        except (ServiceError, SelfTestFailed) as error:
            logger.warning("try %d of %d to recover: %s", self._recovery_tries, RECOVERY_TRIES, error)
            if self._recovery_tries >= RECOVERY_TRIES:
                self._to("failed", "inference keeps failing")

    def _to(self, state: State, reason: str) -> None:
        if state != self.state:
            level = logging.INFO if state in ("ready", "draining") else logging.ERROR
            logger.log(level, "%s is %s: %s", self.manifest.tag, state, reason)
        self.state, self.reason = state, reason

    def _build(self) -> Embedder:
        """Compile, and verify the files beside. A damaged file is reported first: it explains the rest."""
        folder, manifest = self.settings.model_folder, self.manifest
        with ThreadPoolExecutor(1, "verify") as beside:
            verified = beside.submit(manifests.verify_files, folder, manifest, checksums=self.settings.verify_checksums)
            try:
                embedder = self._compile()
            finally:
                verified.result()
        return embedder

    def _compile(self) -> Embedder:
        folder, manifest, settings = self.settings.model_folder, self.manifest, self.settings
        text, image = manifest.text, manifest.image
        encoders: dict[str, Encoder] = {}
        for name, tower in manifest.towers.items():
            takes_pictures = image is not None and image.tower == name
            how = self.execution.for_pictures() if takes_pictures else self.execution
            encoders[name] = Encoder(folder, tower, how)
            self.streams[name] = encoders[name].parallel
            self.precision = encoders[name].precision
        return Embedder(
            manifest,
            text=(TextPreparer(folder, text, manifest.towers[text.tower]), encoders[text.tower]) if text else None,
            image=(image, encoders[image.tower]) if image else None,
            limits=PictureLimits(settings.max_picture_bytes, settings.max_picture_pixels),
            work=_work(settings, self.execution),
            metrics=self.metrics,
        )


def execution(settings: Settings) -> Execution:
    """How towers run, from the settings and the machine."""
    return Execution(
        device=settings.device.upper(),
        precision=settings.precision,
        threads=settings.threads or usable_cpus(),
        streams=settings.streams,
        cache=writable(settings.cache_dir),
    )


def writable(folder: Path | None) -> Path | None:
    """The folder, made if need be; None (and a line in the log) where it cannot be written, as in a read-only image."""
    if folder is None:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        logger.info("no cache of compiled models: %s: %s (CACHE_DIR)", folder, error.strerror)
        return None
    return folder


def _work(settings: Settings, how: Execution) -> Work:
    return Work(
        prepare_threads=how.threads,
        picture_batch=settings.picture_batch,
        text_batch=settings.text_batch,
        text_tokens=settings.text_batch_tokens,
        admission=Admission(settings.max_queue, settings.max_wait),
    )


def _override(manifest: Manifest, settings: Settings) -> Manifest:
    if settings.normalise is not None:
        manifest = replace(manifest, normalise=settings.normalise)
    if settings.exif_orientation is not None and manifest.image is not None:
        manifest = replace(manifest, image=replace(manifest.image, exif_orientation=settings.exif_orientation))
    return manifest
