import asyncio
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from inference import manifest as manifests
from inference.serve.batcher import Admission
from inference.serve.embedder import Embedder, Work
from inference.serve.encoder import Encoder, Execution
from inference.serve.errors import BadInput, EncodeFailed, Overloaded, Unsupported
from inference.serve.images import PictureLimits
from inference.serve.metrics import Metrics
from inference.serve.texts import TextPreparer
from tests import toy

WORK = Work(prepare_threads=2, picture_batch=8, text_batch=8, text_tokens=64, admission=Admission(1000, 50.0))


class Counting:
    """An encoder that notes how many rows it was given."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.parallel = encoder.parallel
        self.rows: list[int] = []

    def encode(self, inputs: Mapping[str, npt.NDArray[np.int64]]) -> npt.NDArray[np.float32]:
        self.rows.append(len(next(iter(inputs.values()))))
        return self.encoder.encode(inputs)


class Broken:
    """An encoder that gives vectors nobody can use."""

    parallel = 1

    def encode(self, inputs: Mapping[str, npt.NDArray[np.int64]]) -> npt.NDArray[np.float32]:
        return np.full((len(next(iter(inputs.values()))), toy.DIMENSIONS), np.nan, dtype=np.float32)


class Rig:
    """An embedder on the toy, in f32."""

    def __init__(self, folder: Path, *, text: object = None, pictures: bool = True, work: Work = WORK) -> None:
        manifest = manifests.read(folder)
        how = Execution(precision="f32", threads=2)
        self.metrics = Metrics()
        self.texts = Counting(Encoder(folder, manifest.towers["text"], how))
        self.pictures = Counting(Encoder(folder, manifest.towers["image"], how))
        preparer = TextPreparer(folder, toy.TEXT, manifest.towers["text"])
        self.embedder = Embedder(
            manifest,
            text=(preparer, text or self.texts),  # type: ignore[arg-type]
            image=(toy.IMAGE, self.pictures) if pictures else None,
            limits=PictureLimits(),
            work=work,
            metrics=self.metrics,
        )


@pytest.fixture
def rig(toy_folder: Path) -> Rig:
    return Rig(toy_folder)


def test_texts_and_pictures_in_request_order(rig: Rig) -> None:
    async def main() -> None:
        texts = [f"{colour} {animal}" for colour in ("red", "green", "blue") for animal in ("cat", "dog", "bird")]
        out = await rig.embedder.embed_texts(texts)
        np.testing.assert_allclose(out, [toy.text_vector(text) for text in texts], atol=1e-5)
        pictures = [toy.picture(seed) for seed in range(11)]
        out = await rig.embedder.embed_pictures([toy.png(picture) for picture in pictures])
        np.testing.assert_allclose(out, [toy.image_vector(picture) for picture in pictures], atol=1e-5)
        assert out.dtype == np.float32

    asyncio.run(main())


def test_nothing_gives_nothing(rig: Rig) -> None:
    async def main() -> None:
        assert (await rig.embedder.embed_texts([])).shape == (0, toy.DIMENSIONS)

    asyncio.run(main())


def test_equal_items_are_computed_once_and_answered_everywhere(rig: Rig) -> None:
    async def main() -> None:
        same, other = toy.b64(toy.png(toy.picture(1))), toy.b64(toy.png(toy.picture(2)))
        out = await rig.embedder.embed_pictures([same, other, same, same])
        assert sum(rig.pictures.rows) == 2
        assert np.array_equal(out[0], out[2])
        assert np.array_equal(out[0], out[3])
        np.testing.assert_allclose(out[1], toy.image_vector(toy.picture(2)), atol=1e-5)
        assert 'multi2vec_deduplicated_items_total{modality="image"} 2.0' in rig.metrics.render().decode()

    asyncio.run(main())


def test_a_vector_from_a_batch_is_the_vector_alone(rig: Rig) -> None:
    async def main() -> None:
        texts = ["red", "a red cat", "one two three sun sea bird", ""]
        alone = [(await rig.embedder.embed_texts([text]))[0] for text in texts]
        np.testing.assert_allclose(await rig.embedder.embed_texts(texts), alone, atol=1e-6)

    asyncio.run(main())


def test_requests_share_batches(rig: Rig) -> None:
    async def main() -> None:
        await asyncio.gather(*(rig.embedder.embed_texts([f"red {n}"]) for n in range(8)))
        assert max(rig.texts.rows) == 4  # eight texts, two workers

    asyncio.run(main())


def test_a_broken_picture_says_which_and_harms_no_other(rig: Rig) -> None:
    async def main() -> None:
        good = toy.b64(toy.png(toy.picture(3)))
        bad, fine = await asyncio.gather(
            rig.embedder.embed_pictures([good, toy.b64(b"no picture"), good]),
            rig.embedder.embed_pictures([good]),
            return_exceptions=True,
        )
        assert isinstance(bad, BadInput)
        assert "image 2 of 3: a picture (10 bytes)" in bad.message
        np.testing.assert_allclose(fine, [toy.image_vector(toy.picture(3))], atol=1e-5)
        assert all(batcher.admitted == 0 for batcher in rig.embedder.batchers)

    asyncio.run(main())


def test_a_missing_tower(toy_folder: Path) -> None:
    async def main() -> None:
        with pytest.raises(Unsupported, match="toy has no image tower"):
            await Rig(toy_folder, pictures=False).embedder.embed_pictures(["AAAA"])

    asyncio.run(main())


def test_vectors_that_are_not_finite_never_leave(toy_folder: Path) -> None:
    async def main() -> None:
        with pytest.raises(EncodeFailed, match="not finite"):
            await Rig(toy_folder, text=Broken()).embedder.embed_texts(["red"])

    asyncio.run(main())


def test_cancelling_frees_the_queue(rig: Rig) -> None:
    async def main() -> None:
        job = asyncio.ensure_future(rig.embedder.embed_texts([f"red {n}" for n in range(500)]))
        await asyncio.sleep(0)
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)
        assert all(batcher.admitted == 0 for batcher in rig.embedder.batchers)
        await rig.embedder.embed_texts(["cat"])
        assert sum(rig.texts.rows) < 500

    asyncio.run(main())


def test_permits_come_before_work(toy_folder: Path) -> None:
    async def main() -> None:
        small = Work(**{**WORK.__dict__, "admission": Admission(10, 50.0)})
        rig = Rig(toy_folder, work=small)
        out = await asyncio.gather(
            *(rig.embedder.embed_texts([f"{n} {m}" for m in range(6)]) for n in range(3)), return_exceptions=True
        )
        assert [type(each) for each in out] == [np.ndarray, Overloaded, Overloaded]

    asyncio.run(main())


def test_long_texts_are_cut_and_counted(rig: Rig) -> None:
    async def main() -> None:
        short, long = await rig.embedder.embed_texts(["red " * 10, "red " * 5000])
        np.testing.assert_allclose(short, long, atol=1e-6)
        assert rig.metrics.truncated_texts == 1

    asyncio.run(main())
