from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from multi2vec import manifest as manifests
from multi2vec.engine.encoder import Encoder, Execution
from multi2vec.engine.errors import DeviceError, EncodeFailed
from tests import toy


def encoder(folder: Path, tower: str = "image", **execution: object) -> Encoder:
    precision = str(execution.pop("precision", "f32"))
    how = Execution(**{"threads": 2, **execution})  # type: ignore[arg-type]
    return Encoder(folder, manifests.read(folder).towers[tower], how, precision)


def batch(*seeds: int) -> dict[str, np.ndarray]:
    return {"pixels": np.stack([np.asarray(toy.picture(seed)) for seed in seeds])}


def expected(*seeds: int) -> np.ndarray:
    return np.stack([toy.picture_vector(toy.picture(seed)) for seed in seeds])


def unit(vectors: np.ndarray | dict[str, np.ndarray]) -> np.ndarray:
    vectors = vectors["dense"] if isinstance(vectors, dict) else vectors
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_one_vector_per_row(toy_folder: Path) -> None:
    vectors = encoder(toy_folder).encode(batch(1, 2, 3))["dense"]
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(unit(vectors), expected(1, 2, 3), atol=1e-5)


def test_answers_are_not_overwritten_by_later_ones(toy_folder: Path) -> None:
    runner = encoder(toy_folder, streams=1)
    first = runner.encode(batch(1))["dense"]
    kept = first.copy()
    for seed in range(2, 9):
        runner.encode(batch(seed))
    np.testing.assert_array_equal(first, kept)


def test_threads_do_not_mix_their_answers(toy_folder: Path) -> None:
    runner = encoder(toy_folder, streams=2)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda seed: runner.encode(batch(seed, seed + 1))["dense"], range(60)))
    for seed, answer in enumerate(answers):
        np.testing.assert_allclose(unit(answer), expected(seed, seed + 1), atol=1e-5)


def test_a_failed_inference_harms_no_later_one(toy_folder: Path) -> None:
    runner = encoder(toy_folder, streams=1)
    for _ in range(3):
        with pytest.raises(EncodeFailed):
            runner.encode({"pixels": np.zeros((1, 3, 3, 3), dtype=np.uint8)})
        np.testing.assert_allclose(unit(runner.encode(batch(5))), expected(5), atol=1e-5)


def test_a_device_that_is_not_there_names_those_that_are(toy_folder: Path) -> None:
    with pytest.raises(DeviceError, match=r"DEVICE=GPU\.7 is not there; this machine has .*CPU"):
        encoder(toy_folder, device="GPU.7")


def test_auto_finds_a_device(toy_folder: Path) -> None:
    np.testing.assert_allclose(unit(encoder(toy_folder, device="AUTO").encode(batch(5))), expected(5), atol=1e-2)


def test_bfloat16_stays_close(toy_folder: Path) -> None:
    vectors = unit(encoder(toy_folder, precision="bf16").encode(batch(1, 2)))
    assert (vectors * expected(1, 2)).sum(axis=1).min() > 0.999


def test_the_cache_is_used(toy_folder: Path, tmp_path: Path) -> None:
    encoder(toy_folder, cache=tmp_path)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert files
    np.testing.assert_allclose(unit(encoder(toy_folder, cache=tmp_path).encode(batch(1))), expected(1), atol=1e-5)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == files


@pytest.mark.parametrize(("threads", "streams"), [(1, 1), (2, 2), (4, 2), (8, 2), (16, 4), (64, 16)])
def test_streams_follow_the_threads(threads: int, streams: int) -> None:
    assert Execution(threads=threads).cpu_streams == streams
    assert Execution(threads=threads).for_wide_items().cpu_streams == max(1, threads // 4)
    assert Execution(threads=threads, streams=3).for_wide_items().cpu_streams == 3
