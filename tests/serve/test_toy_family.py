"""A converted model with a third modality, prompts and several outputs, served and used as a library.

`engine/` and `serve/` know nothing of it: only the tables have new lines (`toy_family.install`).
"""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import httpx
import numpy as np
import pytest

import multi2vec
from multi2vec import Sparse, Wanted
from multi2vec.serve.app import create_app
from multi2vec.serve.metrics import Metrics
from multi2vec.serve.service import Service
from multi2vec.serve.settings import Settings
from tests import toy_family

ORIGINAL_TEXTS, ORIGINAL_VIDEOS = toy_family.TextReference(), toy_family.VideoReference()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    toy_family.install(monkeypatch)
    toy_family.convert(tmp_path / "model")
    return tmp_path / "model"


def unit(vectors: object) -> np.ndarray:
    array = np.asarray(vectors)
    return array / np.linalg.norm(array, axis=-1, keepdims=True)


def test_through_weaviate_s_api(folder: Path) -> None:
    service = Service(Settings(model_dir=folder, cache_dir=None, precision="f32"), Metrics())
    app = create_app(service, lambda error: None)
    videos = [toy_family.gif(7), toy_family.gif(8, frames=2)]
    encoded = [base64.b64encode(video).decode() for video in videos]

    async def main() -> list[httpx.Response]:
        await service.load()
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            bodies = [
                {"texts": ["a red cat"], "video": encoded},
                {"video": ["bm90IGEgdmlkZW8="]},
                {"images": ["AAAA"]},
            ]
            answers = [await client.post("/vectorize", json=body) for body in bodies]
            passage = {"text": "a red cat", "config": {"task_type": "passage", "dimensions": 8}}
            answers.append(await client.post("/vectors", json=passage))
            return [*answers, await client.get("/meta"), await client.get("/metrics")]

    vectorized, broken, lacking, passage, meta, metrics = asyncio.run(main())
    service.close()
    assert set(vectorized.json()) == {"textVectors", "imageVectors", "videoVectors"}
    expected = unit(ORIGINAL_VIDEOS.rows(videos)["dense"])
    np.testing.assert_allclose(vectorized.json()["videoVectors"], expected, atol=1e-3)
    # The default prompt is "query".
    expected = unit(ORIGINAL_TEXTS.rows(["query : a red cat"])["dense"])
    np.testing.assert_allclose(vectorized.json()["textVectors"], expected, atol=1e-3)
    expected = unit(np.asarray(ORIGINAL_TEXTS.rows(["passage : a red cat"])["dense"])[0, :8])
    np.testing.assert_allclose(passage.json()["vector"], expected, atol=1e-3)
    assert (broken.status_code, broken.json()["error"][:28]) == (422, "a video cannot be decoded: c")
    assert lacking.json() == {"error": "toy-family has no picture tower"}
    assert meta.json()["modalities"] == ["text", "video"]
    assert [each["kind"] for each in meta.json()["outputs"]["text"]] == ["dense", "tokens", "sparse"]
    assert meta.json()["inputs"]["text"]["default_prompt"] == "query"
    assert 'multi2vec_batch_items_count{modality="video"}' in metrics.text


def test_through_the_library(folder: Path) -> None:
    texts, videos = ["a cat", "the dog that", "bird"], [toy_family.gif(7)]
    with multi2vec.open_model(folder, precision="f32") as model:
        asked = Wanted(prompt="ask", task="the bird", normalise=False)
        dense = model.embed(texts=texts, wanted=asked)
        tokens = model.embed(texts=texts, wanted=Wanted(prompt="passage", output="tokens"))
        sparse = model.embed(texts=texts, wanted=Wanted(prompt="passage", output="sparse"))
        cut = model.embed(texts=texts, wanted=Wanted(prompt="passage", dimensions=8))
        seen = model.embed(videos=videos)
        with pytest.raises(multi2vec.Unsupported, match="it has: ask, passage, query"):
            model.embed(texts=texts, wanted=Wanted(prompt="classification"))
        with pytest.raises(multi2vec.Unsupported, match="it has: 8, 16"):
            model.embed(texts=texts, wanted=Wanted(dimensions=4))
    original = ORIGINAL_TEXTS.rows([f"find the bird : {text}" for text in texts])
    np.testing.assert_allclose(dense.rows, original["dense"], atol=2e-3)
    original = ORIGINAL_TEXTS.rows([f"passage : {text}" for text in texts])
    assert list(tokens.tokens) == [6, 7, 5]
    for row, expected in zip(tokens.rows, original["tokens"], strict=True):
        np.testing.assert_allclose(row, unit(expected), atol=2e-3)
    for row, expected in zip(sparse.rows, original["sparse"], strict=True):
        assert isinstance(row, Sparse)
        assert isinstance(expected, Sparse)
        assert row.ids.tolist() == expected.ids.tolist()
        np.testing.assert_allclose(row.weights, expected.weights, atol=2e-3)
    np.testing.assert_allclose(cut.rows, unit(np.asarray(original["dense"])[:, :8]), atol=2e-3)
    np.testing.assert_allclose(seen.rows, unit(ORIGINAL_VIDEOS.rows(videos)["dense"]), atol=1e-3)
