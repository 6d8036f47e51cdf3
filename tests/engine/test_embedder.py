import asyncio
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from multi2vec.engine import lanes, loading
from multi2vec.engine.encoder import Encoder, Execution
from multi2vec.engine.errors import BadInput, EncodeFailed, Overloaded, Unsupported
from multi2vec.engine.wanted import Wanted
from multi2vec.engine.work import Admission, Budget, Work
from multi2vec.serve.metrics import Metrics
from tests import toy

WORK = Work(2, {"text": Budget(8, padded=64), "image": Budget(8)}, Admission(1000, 50.0))


class Counting(Encoder):
    """An encoder that notes how many rows it was given, and can be made to give vectors that cannot be used."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.rows: list[int] = []
        self.broken = False

    def encode(self, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[np.float32]]:
        self.rows.append(len(next(iter(inputs.values()))))
        outputs = super().encode(inputs)
        return {name: np.full_like(array, np.nan) for name, array in outputs.items()} if self.broken else outputs


class Rig:
    """An embedder on the toy, in f32."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, work: Work = WORK) -> None:
        monkeypatch.setattr(loading, "Encoder", Counting)
        self.metrics = Metrics()
        how = Execution(precision="f32", threads=2)
        self.embedder = loading.open_model(folder, how, work, observer=self.metrics)
        self.texts: Counting = self.embedder.lanes["text"].encoder  # type: ignore[assignment]
        self.pictures: Counting = self.embedder.lanes["image"].encoder  # type: ignore[assignment]

    async def text_vectors(self, texts: list[str]) -> npt.NDArray[np.float32]:
        return np.asarray((await self.embedder.embed("text", texts)).rows)

    async def picture_vectors(self, pictures: list[Any]) -> npt.NDArray[np.float32]:
        return np.asarray((await self.embedder.embed("image", pictures)).rows)


@pytest.fixture
def rig(toy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(toy_folder, monkeypatch)


def test_texts_and_pictures_in_request_order(rig: Rig) -> None:
    async def main() -> None:
        texts = [f"{colour} {animal}" for colour in ("red", "green", "blue") for animal in ("cat", "dog", "bird")]
        out = await rig.text_vectors(texts)
        np.testing.assert_allclose(out, [toy.text_vector(text) for text in texts], atol=1e-5)
        pictures = [toy.picture(seed) for seed in range(11)]
        out = await rig.picture_vectors([toy.png(picture) for picture in pictures])
        np.testing.assert_allclose(out, [toy.picture_vector(picture) for picture in pictures], atol=1e-5)
        assert out.dtype == np.float32

    asyncio.run(main())


def test_nothing_gives_nothing(rig: Rig) -> None:
    async def main() -> None:
        for modality in ("text", "video"):
            embedded = await rig.embedder.embed(modality, [])
            assert np.asarray(embedded.rows).shape == (0, toy.DIMENSIONS)
            assert (list(embedded.tokens), embedded.truncated) == ([], 0)

    asyncio.run(main())


def test_equal_items_are_computed_once_and_answered_everywhere(rig: Rig) -> None:
    async def main() -> None:
        same, other = toy.b64(toy.png(toy.picture(1))), toy.b64(toy.png(toy.picture(2)))
        out = await rig.picture_vectors([same, other, same, same])
        assert sum(rig.pictures.rows) == 2
        assert np.array_equal(out[0], out[2])
        assert np.array_equal(out[0], out[3])
        np.testing.assert_allclose(out[1], toy.picture_vector(toy.picture(2)), atol=1e-5)
        assert 'multi2vec_deduplicated_items_total{modality="image"} 2.0' in rig.metrics.render().decode()

    asyncio.run(main())


def test_items_that_cannot_be_hashed_are_equal_when_they_are_the_same_object(rig: Rig) -> None:
    async def main() -> None:
        pixels = np.asarray(toy.picture(1))
        out = await rig.picture_vectors([pixels, pixels, pixels.copy()])
        assert sum(rig.pictures.rows) == 2
        np.testing.assert_allclose(out, [toy.picture_vector(toy.picture(1))] * 3, atol=1e-5)

    asyncio.run(main())


def test_counts_of_tokens_and_of_what_was_cut(rig: Rig) -> None:
    async def main() -> None:
        embedded = await rig.embedder.embed("text", ["red", "red " * 5000, "red", "a red cat"])
        assert list(embedded.tokens) == [3, toy.MAX_LENGTH, 3, 5]
        assert embedded.truncated == 1
        assert rig.metrics.truncated_items()["text"] == 1
        pictures = await rig.embedder.embed("image", [toy.picture(1)])
        assert (list(pictures.tokens), pictures.truncated) == ([0], 0)

    asyncio.run(main())


def test_a_vector_from_a_batch_is_the_vector_alone(rig: Rig) -> None:
    async def main() -> None:
        texts = ["red", "a red cat", "one two three sun sea bird", ""]
        alone = [(await rig.text_vectors([text]))[0] for text in texts]
        np.testing.assert_allclose(await rig.text_vectors(texts), alone, atol=1e-6)

    asyncio.run(main())


def test_requests_share_batches_whatever_they_want_of_their_vectors(rig: Rig) -> None:
    async def main() -> None:
        wishes = [Wanted(normalise=bool(n % 2)) for n in range(8)]
        out = await asyncio.gather(*(rig.embedder.embed("text", [f"red {n}"], wishes[n]) for n in range(8)))
        assert max(rig.texts.rows) == 4  # eight texts, two workers
        lengths = [float(np.linalg.norm(np.asarray(each.rows))) for each in out]
        assert lengths[1::2] == pytest.approx([1] * 4)
        assert min(lengths[::2]) > 1.5

    asyncio.run(main())


def test_a_broken_picture_says_which_and_harms_no_other(rig: Rig) -> None:
    async def main() -> None:
        good = toy.b64(toy.png(toy.picture(3)))
        bad, fine = await asyncio.gather(
            rig.picture_vectors([good, good, toy.b64(b"no picture"), good]),
            rig.picture_vectors([good]),
            return_exceptions=True,
        )
        assert isinstance(bad, BadInput)
        assert "picture 3 of 4: a picture (10 bytes)" in bad.message
        np.testing.assert_allclose(fine, [toy.picture_vector(toy.picture(3))], atol=1e-5)  # type: ignore[arg-type]
        assert all(lane.batcher.admitted == 0 for lane in rig.embedder.lanes.values())

    asyncio.run(main())


def test_a_modality_that_the_model_lacks(rig: Rig) -> None:
    async def main() -> None:
        with pytest.raises(Unsupported, match="toy has no audio tower"):
            await rig.embedder.embed("audio", ["AAAA"])

    asyncio.run(main())


def test_vectors_that_are_not_finite_never_leave(rig: Rig) -> None:
    async def main() -> None:
        rig.texts.broken = True
        with pytest.raises(EncodeFailed, match="not finite"):
            await rig.text_vectors(["red"])

    asyncio.run(main())


def test_cancelling_frees_the_queue(rig: Rig) -> None:
    async def main() -> None:
        job = asyncio.ensure_future(rig.text_vectors([f"red {n}" for n in range(500)]))
        await asyncio.sleep(0)
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)
        assert all(lane.batcher.admitted == 0 for lane in rig.embedder.lanes.values())
        await rig.text_vectors(["cat"])
        assert sum(rig.texts.rows) < 500

    asyncio.run(main())


def test_permits_come_before_work(toy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        rig = Rig(toy_folder, monkeypatch, Work(2, WORK.budgets, Admission(10, 50.0)))
        out = await asyncio.gather(
            *(rig.text_vectors([f"{n} {m}" for m in range(6)]) for n in range(3)), return_exceptions=True
        )
        assert [type(each) for each in out] == [np.ndarray, Overloaded, Overloaded]

    asyncio.run(main())


def test_of_a_long_request_only_some_items_are_prepared_ahead(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        lane = rig.embedder.lanes["image"]
        most = 0

        def submit(item: Any, size: int) -> Any:
            nonlocal most
            future = original(item, size)
            most = max(most, lane.batcher.waiting)
            return future

        original = lane.batcher.submit
        monkeypatch.setattr(lane.batcher, "submit", submit)
        pictures = [np.full((8, 8, 3), n, dtype=np.uint8) for n in range(200)]
        out = await rig.picture_vectors(pictures)
        assert len(out) == 200
        assert most <= lanes.PREPARED_AHEAD * WORK.budgets["image"].items

    asyncio.run(main())


def test_a_wish_that_cannot_be_fulfilled_costs_no_work(rig: Rig) -> None:
    async def main() -> None:
        with pytest.raises(Unsupported, match="it has: dense"):
            await rig.embedder.embed("text", ["cat"], Wanted(output="sparse"))
        with pytest.raises(Unsupported, match="its vectors have 16 dimensions and cannot be cut to 7"):
            await rig.embedder.embed("text", ["cat"], Wanted(dimensions=7))
        assert rig.texts.rows == []

    asyncio.run(main())


def test_large_answers_are_finished_off_the_event_loop(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        threads: list[str] = []
        original = lanes.Finisher.finish

        def finish(self: Any, rows: Any) -> Any:
            threads.append(threading.current_thread().name)
            return original(self, rows)

        monkeypatch.setattr(lanes.Finisher, "finish", finish)
        monkeypatch.setattr(lanes, "FINISHED_HERE", 4 * toy.DIMENSIONS)
        few = await rig.text_vectors(["red", "cat"])
        many = await rig.text_vectors([f"red {word}" for word in toy.WORDS[4:12]] + ["red", "cat"])
        np.testing.assert_array_equal(few, many[-2:])
        assert threads[0] == threading.current_thread().name
        assert threads[1].startswith("prepare")

    asyncio.run(main())


def test_what_nobody_asked_for_may_be_anything(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """An output that is not wanted of any item in a batch fails none of them."""

    async def main() -> None:
        original = rig.texts.encode

        def encode(inputs: Any) -> dict[str, npt.NDArray[np.float32]]:
            return {**original(inputs), "late": np.full((1, 1), np.nan, dtype=np.float32)}

        monkeypatch.setattr(rig.texts, "encode", encode)
        np.testing.assert_allclose(await rig.text_vectors(["red"]), [toy.text_vector("red")], atol=1e-5)

    asyncio.run(main())
