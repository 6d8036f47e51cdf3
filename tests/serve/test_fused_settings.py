"""What settings change of a model of texts and pictures in one vector, and what its metrics count."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from PIL import Image

from multi2vec import manifest as manifests
from multi2vec.engine import loading
from multi2vec.engine.altered import altered
from multi2vec.engine.encoder import Encoder
from multi2vec.engine.items import Item
from multi2vec.engine.preparers import PREPARERS
from multi2vec.engine.preparers.fused import written
from multi2vec.layouts import PatchLayout, Resize
from multi2vec.manifest import Example, Manifest, ManifestError
from multi2vec.serve import service as services
from multi2vec.serve.metrics import Metrics
from multi2vec.serve.service import Service
from multi2vec.serve.settings import Settings
from tests import toy, toy_fused
from tests.toy_fused import MERGE, PATCH, SPEC, UNIT

# The toy's pictures have up to 16 units; its example has two.
FEW = 4 * UNIT**2
ONE = UNIT**2
# 32 × 32 units are four batches' worth of patches.
LARGE = replace(SPEC, max_length=2000, layout=PatchLayout(PATCH, MERGE, (Resize(UNIT, UNIT**2, 1024 * UNIT**2),)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_fused.write(tmp_path_factory.mktemp("fused"))


def service(folder: Path, **settings: Any) -> Service:
    return Service(Settings(model_dir=folder, cache_dir=None, precision="f32", **settings), Metrics())


def tokens(running: Service, modality: str, item: Any) -> int:
    async def main() -> int:
        await running.load()
        try:
            return (await (await running.embedder()).embed(modality, [item])).tokens[0]
        finally:
            running.close()

    return asyncio.run(main())


class TestSizesOfPictures:
    def test_pictures_become_smaller(self, folder: Path) -> None:
        picture = toy.png(Image.new("RGB", (4 * UNIT, 4 * UNIT), "red"))
        around = toy_fused.tokens(Image.new("RGB", (0, 0)))
        assert tokens(service(folder), "image", picture) == around + 16
        assert tokens(service(folder, fused_picture_pixels=FEW), "image", picture) == around + 4

    def test_the_model_is_that_of_a_recipe_with_that_size(self, folder: Path, tmp_path: Path) -> None:
        layout = PatchLayout(PATCH, MERGE, (Resize(UNIT, UNIT**2, FEW),))
        recipes = manifests.read(toy_fused.write(tmp_path, spec=replace(SPEC, layout=layout)))
        found = service(folder, fused_picture_pixels=FEW).manifest
        assert found.inputs == recipes.inputs
        assert found.fingerprint == recipes.fingerprint != manifests.read(folder).fingerprint

    def test_larger_ones_than_the_authors_change_nothing(self, folder: Path) -> None:
        assert service(folder, fused_picture_pixels=10**9).manifest == manifests.read(folder)

    def test_a_model_of_two_towers_has_nothing_to_change(self, toy_folder: Path) -> None:
        assert service(toy_folder, fused_picture_pixels=1).manifest == manifests.read(toy_folder)

    def test_too_few_are_refused_with_a_sentence(self, folder: Path) -> None:
        with pytest.raises(ManifestError, match=f"FUSED_PICTURE_PIXELS cannot be used: .* at least {ONE} pixels"):
            service(folder, fused_picture_pixels=ONE - 1)

    def test_examples_of_other_pictures_are_not_compared(self, folder: Path) -> None:
        """Else no server would start."""
        original, running = manifests.read(folder), service(folder, fused_picture_pixels=ONE)
        assert [each.modality for each in altered(original, running.manifest)] == ["image", "fused"]
        tokens(running, "text", "a cat")
        assert altered(original, service(folder, fused_picture_pixels=FEW).manifest) == []

    def test_videos_are_of_smaller_frames(self, folder: Path) -> None:
        """And an example with them is compared where they are the same."""
        item = (Item("video", (toy.png(toy.picture(1, (2 * UNIT, UNIT))),)), Item("text", "a cat"))
        example = Example("fused", written(item), (1.0,))
        original = replace(
            manifests.read(folder),
            inputs=dict.fromkeys(toy_fused.WITH_VIDEOS.modalities, toy_fused.WITH_VIDEOS),
            examples=(example,),
        )
        settings = Settings(model_dir=folder, cache_dir=None, fused_picture_pixels=ONE)
        few = services._override(original, settings)
        assert few.inputs["video"].video.layout.resizes[-1].most == ONE
        assert altered(original, few) == [example]
        assert (
            altered(original, services._override(original, settings.model_copy(update={"fused_picture_pixels": FEW})))
            == []
        )

    @pytest.mark.parametrize("setting", [{"exif_orientation": True}, {"fused_picture_pixels": FEW}])
    def test_modalities_go_on_to_share_their_towers(self, folder: Path, setting: dict[str, Any]) -> None:
        changed: Manifest = service(folder, **setting).manifest
        assert len({id(spec) for spec in changed.inputs.values()}) == 1


class TestBatches:
    def test_what_is_not_set_is_as_the_preparer_has_it(self) -> None:
        assert services.work(Settings(cache_dir=None)).budgets == {
            kind: PREPARERS[kind].budget for kind in ("text", "image", "fused")
        }

    def test_items_and_tokens_are_bounded(self, folder: Path) -> None:
        async def main() -> list[int]:
            running = service(folder, fused_batch=2, text_batch_tokens=40)
            await running.load()
            try:
                queue = (await running.embedder()).lanes["text"].queue
                return [queue.budget.items, queue.budget.padded or 0]
            finally:
                running.close()

        assert asyncio.run(main()) == [2, 40]


class Slow(Encoder):
    """An encoder whose vision tower waits on demand."""

    open: ClassVar[threading.Event] = threading.Event()

    def encode(self, inputs: Mapping[str, Any]) -> Any:
        assert "pixels" not in inputs or Slow.open.wait(20)
        return super().encode(inputs)


def test_a_large_picture_may_run_for_as_long_as_its_patches_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "Encoder", Slow)
    monkeypatch.setattr(services, "WATCH_SECONDS", 0.01)
    large = toy.png(Image.new("RGB", (32 * UNIT, 32 * UNIT)))

    async def main() -> None:
        Slow.open.set()
        running = service(toy_fused.write(tmp_path, spec=LARGE), stall_seconds=0.5)
        await running.load()
        watch = asyncio.create_task(running.watch())
        Slow.open.clear()
        job = asyncio.ensure_future((await running.embedder()).embed("image", [large]))
        await asyncio.sleep(1.0)
        assert running.state == "ready"
        for _ in range(500):
            if running.state == "failed":
                break
            await asyncio.sleep(0.01)
        assert running.reason == "a batch has been running for more than 0.5 s"
        Slow.open.set()
        await job
        watch.cancel()
        running.close()

    asyncio.run(main())


def test_metrics_count_pictures_and_items_apart(folder: Path) -> None:
    """Under no modality that there is not: the vision tower's batches are pictures."""
    picture = toy.png(toy.picture(1, (2 * UNIT, UNIT)))

    async def main() -> tuple[dict[str, float], set[str]]:
        running = service(folder)
        await running.load()
        embedder = await running.embedder()
        before = batches(running.metrics)
        pieces = (Item("image", picture), Item("text", "a cat"), Item("image", picture))
        await embedder.embed("fused", [pieces])
        await embedder.embed("text", ["a cat"])
        after = batches(running.metrics)
        running.close()
        return {name: after[name] - before.get(name, 0) for name in after}, modalities(running.metrics)

    found, named = asyncio.run(main())
    # Two pictures, one at a time; an item of both and one of a text, each in a batch of the language tower.
    assert (found["image"], found["fused"], found["text"]) == (2, 2, 0)
    # A model that is shown pictures takes videos as such.
    assert named == {"text", "image", "fused", "video"}


def samples(metrics: Metrics) -> list[Any]:
    return [sample for metric in metrics.registry.collect() for sample in metric.samples]


def batches(metrics: Metrics) -> dict[str, float]:
    return {
        each.labels["modality"]: each.value for each in samples(metrics) if each.name == "multi2vec_batch_items_count"
    }


def modalities(metrics: Metrics) -> set[str]:
    return {each.labels["modality"] for each in samples(metrics) if "modality" in each.labels}
