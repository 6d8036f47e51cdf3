"""Health: what breaks, what recovers, what only a new process can help."""

import asyncio
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from multi2vec import manifest as manifests
from multi2vec.engine import loading, precision
from multi2vec.engine.encoder import Encoder
from multi2vec.engine.errors import EncodeFailed, WrongVectors
from multi2vec.serve import service as services
from multi2vec.serve.errors import NotReady
from multi2vec.serve.meta import Meta
from multi2vec.serve.metrics import Metrics
from multi2vec.serve.service import Service
from multi2vec.serve.settings import Settings
from tests import toy


class Fragile(Encoder):
    """An encoder that fails, hangs or lies on demand."""

    failing: ClassVar[bool] = False
    lying: ClassVar[bool] = False
    stretch: ClassVar[float] = 1.0
    open: ClassVar[threading.Event] = threading.Event()

    def encode(self, inputs: Mapping[str, Any]) -> Any:
        if Fragile.failing:
            raise EncodeFailed("on demand")
        assert Fragile.open.wait(20)
        vectors = super().encode(inputs)
        vectors = {name: np.roll(array, 1, axis=1) for name, array in vectors.items()} if Fragile.lying else vectors
        return {name: Fragile.stretch * array for name, array in vectors.items()}


@pytest.fixture
def service(toy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setattr(loading, "Encoder", Fragile)
    monkeypatch.setattr(services, "WATCH_SECONDS", 0.01)
    Fragile.failing = Fragile.lying = False
    Fragile.stretch = 1.0
    Fragile.open.set()
    return Service(Settings(model_dir=toy_folder, cache_dir=None, stall_seconds=0.2, precision="f32"), Metrics())


async def until(service: Service, state: str) -> None:
    for _ in range(500):
        if service.state == state:
            return
        await asyncio.sleep(0.01)
    raise TimeoutError(f"{service.state} instead of {state}")


def test_loading_then_ready_then_draining(service: Service) -> None:
    async def main() -> None:
        early = asyncio.ensure_future(service.embedder())
        await asyncio.sleep(0.05)
        assert not early.done()
        await service.load()
        assert service.is_ready
        assert await early is await service.embedder()
        assert len((await (await service.embedder()).embed("text", ["cat"])).rows) == 1
        service.drain()
        assert not service.is_ready
        assert len((await (await service.embedder()).embed("text", ["cat"])).rows) == 1
        service.close()

    asyncio.run(main())


def test_failures_in_a_row_make_it_unready_and_it_recovers(service: Service) -> None:
    async def main() -> None:
        await service.load()
        watch = asyncio.create_task(service.watch())
        Fragile.failing = True
        for _ in range(3):
            with pytest.raises(EncodeFailed):
                await (await service.embedder()).embed("text", ["cat"])
        await until(service, "unhealthy")
        Fragile.failing = False
        await until(service, "ready")
        assert len((await (await service.embedder()).embed("text", ["cat"])).rows) == 1
        watch.cancel()

    asyncio.run(main())


def test_what_does_not_recover_fails_for_good(service: Service) -> None:
    async def main() -> None:
        await service.load()
        watch = asyncio.create_task(service.watch())
        Fragile.failing = True
        for _ in range(3):
            with pytest.raises(EncodeFailed):
                await (await service.embedder()).embed("image", [toy.png(toy.picture())])
        await until(service, "failed")
        with pytest.raises(NotReady, match="keeps failing"):
            await service.embedder()
        watch.cancel()

    asyncio.run(main())


def test_a_batch_that_never_comes_back_fails_for_good(service: Service) -> None:
    async def main() -> None:
        await service.load()
        watch = asyncio.create_task(service.watch())
        Fragile.open.clear()
        job = asyncio.ensure_future((await service.embedder()).embed("text", ["cat"]))
        await until(service, "failed")
        assert "has been running for more than 0.2 s" in service.reason
        Fragile.open.set()
        await job
        watch.cancel()

    asyncio.run(main())


def test_wrong_vectors_are_found_at_the_start(service: Service) -> None:
    async def main() -> None:
        Fragile.lying = True
        with pytest.raises(WrongVectors, match="an example text gives a vector at cosine"):
            await service.load()
        assert service.state == "failed"
        with pytest.raises(NotReady, match="cannot be loaded"):
            await service.embedder()

    asyncio.run(main())


def test_settings_can_override_the_manifest(toy_folder: Path) -> None:
    async def main() -> None:
        settings = Settings(model_dir=toy_folder, cache_dir=None, normalise=False, exif_orientation=True)
        service = Service(settings, Metrics())
        assert service.manifest.spec("image").exif_orientation
        await service.load()
        vector = (await (await service.embedder()).embed("text", ["cat"])).rows[0]
        assert np.linalg.norm(vector) > 1.5
        # Such vectors must not be mixed with those of the model as it is.
        assert service.manifest.fingerprint != manifests.read(toy_folder).fingerprint
        service.close()

    asyncio.run(main())


def test_vectors_of_another_length_are_found_at_the_start(service: Service) -> None:
    """They have the right direction, and are normalised; but with NORMALISE=false they would be served."""

    async def main() -> None:
        Fragile.stretch = 2.0
        with pytest.raises(WrongVectors, match=r"gives a vector 2\.0000 times as long as the original library's"):
            await service.load()

    asyncio.run(main())


def test_a_folder_that_cannot_be_written_means_no_cache(tmp_path: Path) -> None:
    assert services.writable(tmp_path / "new") == tmp_path / "new"
    (tmp_path / "file").touch()
    assert services.writable(tmp_path / "file" / "cache") is None
    assert services.writable(None) is None


def test_a_broken_folder_is_refused_before_listening(tmp_path: Path) -> None:
    with pytest.raises(manifests.ManifestError):
        Service(Settings(model_dir=tmp_path), Metrics())


@pytest.mark.parametrize("faster", ["f32", "bf16"])
def test_meta_shows_the_chosen_precision_and_what_was_measured(
    toy_folder: Path, monkeypatch: pytest.MonkeyPatch, faster: str
) -> None:
    class Fake:
        def __init__(self, seconds: float) -> None:
            self._seconds = seconds

        def seconds(self, batch: int) -> float:
            return self._seconds * batch

    fakes = {name: Fake(0.001 if name == faster else 0.002) for name in ("f32", "bf16")}
    monkeypatch.setattr(precision, "candidates", lambda *_, **__: ("f32", "bf16"))
    monkeypatch.setattr(precision, "trials", lambda *_: fakes)
    service = Service(Settings(model_dir=toy_folder, cache_dir=None), Metrics())
    meta = Meta(service)
    assert meta.now()["execution"]["towers"] == {}
    asyncio.run(service.load())
    towers = meta.now()["execution"]["towers"]
    service.close()
    assert [towers[modality]["precision"] for modality in ("text", "image")] == [faster, faster]
    slower = "bf16" if faster == "f32" else "f32"
    assert towers["image"]["measured_ms"] == {faster: {"1": 1.0, "4": 4.0}, slower: {"1": 2.0, "4": 8.0}}
    assert towers["text"]["measured_ms"] == {faster: {"8": 8.0}, slower: {"8": 16.0}}
    json.dumps(towers)
