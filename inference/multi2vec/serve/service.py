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
import ipaddress
import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from multi2vec import manifest as manifests
from multi2vec.engine import loading, proof
from multi2vec.engine.altered import altered
from multi2vec.engine.embedder import Embedder
from multi2vec.engine.encoder import Execution
from multi2vec.engine.errors import EmbedError, WrongVectors
from multi2vec.engine.preparers import PREPARERS
from multi2vec.engine.preparers.layouts.smaller import with_pixels
from multi2vec.engine.video import decoder
from multi2vec.engine.video.limits import VideoLimits
from multi2vec.engine.work import Admission, Limits, Work
from multi2vec.manifest import Manifest, ManifestError
from multi2vec.serve.errors import NotReady
from multi2vec.serve.fetching import Fetcher, Rules
from multi2vec.serve.metrics import Metrics
from multi2vec.serve.settings import Settings, listed
from multi2vec.specs import VIDEO, FusedSpec, Modality, word

logger = logging.getLogger(__name__)

State = Literal["loading", "ready", "unhealthy", "failed", "draining"]

FAILURES_UNTIL_UNHEALTHY = 3
RECOVERY_TRIES = 5
WATCH_SECONDS = 1.0


class Service:
    """One model, from folder to answers. `embedder` may be used once the state is ready."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        """Read the manifest. Raises `ManifestError` for a folder that cannot be served."""
        self.settings = settings
        self.metrics = metrics
        original = manifests.read(settings.model_folder)
        self.manifest = _override(original, settings)
        self._altered = altered(original, self.manifest)
        self.state: State = "loading"
        self.reason = "the model is loading"
        self.execution = execution(settings)
        self.fetcher = Fetcher(rules(settings))
        self._embedder: Embedder | None = None
        self._recovery_tries = 0
        self._loaded = asyncio.Event()
        metrics.ready.set_function(lambda: self.is_ready)

    @property
    def is_ready(self) -> bool:
        """Whether requests are taken."""
        return self.state == "ready"

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The kinds of input that are taken: the model's, and videos, at least as pictures, where they can be
        decoded."""
        own = tuple(modality for modality in self.manifest.modalities if modality != VIDEO or decoder.is_available())
        by_frames = "image" in own and VIDEO not in own and decoder.is_available()
        return (*own, VIDEO) if by_frames else own

    @property
    def towers(self) -> dict[str, dict[str, Any]]:
        """How each tower runs, once it is compiled: streams, precision, and what the choice was made on."""
        if self._embedder is None:
            return {}
        return {
            name: {
                "precision": queue.encoder.precision,
                "streams": queue.encoder.parallel,
                "measured_ms": {
                    precision: {str(batch): value for batch, value in times.items()}
                    for precision, times in queue.choice.milliseconds.items()
                },
            }
            for name, queue in self._embedder.queues.items()
        }

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
            self._embedder = await asyncio.to_thread(self._open)
            await proof.prove(self._embedder, self._altered)
            if self._altered:
                logger.info("examples that FUSED_PICTURE_PIXELS alters were not compared: %d", len(self._altered))
        except Exception as error:
            self._to("failed", f"the model cannot be loaded: {error}")
            raise
        finally:
            self._loaded.set()
        how = ", ".join(f"{word(name)} in {tower['precision']}" for name, tower in self.towers.items())
        reason = f"{self.execution.device}, {self.execution.cpu_threads} threads, {how}"
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

    async def _look(self) -> None:
        embedder = self._embedder
        if embedder is None or self.state not in ("ready", "unhealthy"):
            return
        batchers = [queue.batcher for queue in embedder.queues.values()]
        if any(batcher.longest_run > self.settings.stall_seconds for batcher in batchers):
            self._to("failed", f"a batch has been running for more than {self.settings.stall_seconds:g} s")
        elif any(batcher.failures_in_row >= FAILURES_UNTIL_UNHEALTHY for batcher in batchers):
            self._to("unhealthy", "inference failed several times in a row")
            await self._recover(embedder)
        else:
            self._recovery_tries = 0
            self._to("ready", "all workers are well")

    async def _recover(self, embedder: Embedder) -> None:
        self._recovery_tries += 1
        try:
            await proof.prove(embedder, self._altered)
        except (EmbedError, WrongVectors) as error:
            logger.warning("try %d of %d to recover: %s", self._recovery_tries, RECOVERY_TRIES, error)
            if self._recovery_tries >= RECOVERY_TRIES:
                self._to("failed", "inference keeps failing")

    def _to(self, state: State, reason: str) -> None:
        if state != self.state:
            level = logging.INFO if state in ("ready", "draining") else logging.ERROR
            logger.log(level, "%s is %s: %s", self.manifest.tag, state, reason)
        self.state, self.reason = state, reason

    def _open(self) -> Embedder:
        settings = self.settings
        return loading.open_model(
            settings.model_folder,
            self.execution,
            work(settings),
            limits(settings),
            self.metrics,
            manifest=self.manifest,
            verify_checksums=settings.verify_checksums,
        )


def execution(settings: Settings) -> Execution:
    """How towers run, from the settings."""
    return Execution(
        device=settings.device.upper(),
        precision=settings.precision,
        threads=settings.threads,
        streams=settings.streams,
        cache=writable(settings.cache_dir),
    )


def work(settings: Settings) -> Work:
    """How much runs at a time and how much may wait, from the settings."""
    texts, pictures, fused = (PREPARERS[kind].budget for kind in ("text", "image", "fused"))
    return Work(
        budgets={
            "text": replace(texts, items=settings.text_batch, padded=settings.text_batch_tokens),
            "image": replace(pictures, items=settings.picture_batch, padded=settings.picture_batch),
            "fused": replace(fused, items=settings.fused_batch, padded=settings.text_batch_tokens),
        },
        admission=Admission(settings.max_queue, settings.max_wait),
    )


def limits(settings: Settings) -> Limits:
    """What a single item may cost, from the settings."""
    return Limits(
        settings.max_picture_bytes,
        settings.max_picture_pixels,
        VideoLimits(
            bytes=settings.max_video_bytes,
            packets=settings.max_video_packets,
            pixels=settings.max_video_pixels,
            decoded=settings.max_video_decoded_frames,
            frames=settings.max_video_frames,
            seconds=settings.max_video_decode_seconds,
            memory=settings.max_video_memory_bytes,
        ),
    )


def rules(settings: Settings) -> Rules:
    """What may be fetched by URL, from the settings."""
    return Rules(
        hosts=listed(settings.fetch_hosts),
        networks=tuple(map(ipaddress.ip_network, listed(settings.fetch_networks))),
        size=settings.max_picture_bytes,
        video_size=settings.max_video_bytes,
        together=settings.max_body_bytes,
        seconds=settings.fetch_seconds,
        redirects=settings.fetch_redirects,
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


def _override(manifest: Manifest, settings: Settings) -> Manifest:
    """The manifest as the settings change it; its fingerprint follows. Raises `ManifestError` for what it cannot be."""
    # Modalities that share a spec go on to share it, and with it their towers and batches.
    specs = {id(spec): _changed(spec, settings) for spec in manifest.inputs.values()}
    inputs = {modality: specs[id(spec)] for modality, spec in manifest.inputs.items()}
    normalise = manifest.normalise if settings.normalise is None else settings.normalise
    return manifests.with_fingerprint(replace(manifest, inputs=inputs, normalise=normalise))


def _changed(spec: Any, settings: Settings) -> Any:
    if settings.exif_orientation is not None and hasattr(spec, "exif_orientation"):
        spec = replace(spec, exif_orientation=settings.exif_orientation)
    if settings.fused_picture_pixels is not None and isinstance(spec, FusedSpec):
        try:
            spec = with_pixels(spec, settings.fused_picture_pixels)
        except ValueError as error:
            raise ManifestError(f"FUSED_PICTURE_PIXELS cannot be used: {error}") from None
    return spec
