"""The library: `multi2vec.open_model`, from several threads, with every kind of input, and its errors."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import multi2vec
from multi2vec import Embedded, Model, Wanted
from multi2vec.engine.encoder import Encoder
from tests import toy, toy_fused


@pytest.fixture
def model(toy_folder: Path) -> Iterator[Model]:
    with multi2vec.open_model(toy_folder, precision="f32") as opened:
        yield opened


def test_texts(model: Model) -> None:
    embedded = model.embed(texts=["a red cat", "dog"])
    assert isinstance(embedded, Embedded)
    np.testing.assert_allclose(embedded.rows, [toy.text_vector("a red cat"), toy.text_vector("dog")], atol=1e-5)
    assert list(embedded.tokens) == [5, 3]
    assert model.manifest.tag == "toy"


def test_every_kind_of_picture(model: Model, tmp_path: Path) -> None:
    picture = toy.picture(5)
    (tmp_path / "a.png").write_bytes(toy.png(picture))
    path = tmp_path / "a.png"
    items = [path, str(path), toy.png(picture), picture, np.asarray(picture)]
    rows = model.embed(pictures=items).rows
    np.testing.assert_allclose(rows, [toy.picture_vector(picture)] * 5, atol=1e-5)


def test_wishes(model: Model) -> None:
    plain = model.embed(texts=["a red cat"], wanted=Wanted(normalise=False))
    np.testing.assert_allclose(plain.rows, [toy.text_row("a red cat")], atol=1e-5)
    cut = model.embed(texts=["one two three four"], wanted=Wanted(max_tokens=4))
    assert (list(cut.tokens), cut.truncated) == ([4], 1)


def test_a_model_of_texts_alone(tmp_path: Path) -> None:
    spec = dataclasses.replace(toy.TEXT, prompts=toy.PROMPTS, default_prompt="query")
    with multi2vec.open_model(toy.write_texts(tmp_path, text=spec), precision="f32") as model:
        for wanted, text in (
            (Wanted(), "one a cat"),
            (Wanted(prompt=""), "a cat"),
            (Wanted(prompt="passage"), "two a cat"),
            (Wanted(prompt="ask"), "the sun a cat"),
            (Wanted(task="green dog"), "green dog a cat"),
        ):
            rows = model.embed(texts=["a cat"], wanted=wanted).rows
            np.testing.assert_allclose(rows, [toy.text_vector(text)], atol=1e-5)
        cut = np.asarray(model.embed(texts=["a cat"], wanted=Wanted(prompt="passage", dimensions=8)).rows)
        row = toy.text_row("two a cat")[:8]
        np.testing.assert_allclose(cut, [row / np.linalg.norm(row)], atol=1e-5)
        assert model.manifest.modalities == ("text",)
        with pytest.raises(multi2vec.Unsupported, match="toy-texts has no picture tower"):
            model.embed(pictures=[toy.picture()])
        with pytest.raises(multi2vec.Unsupported, match="no prompt named 'document'; it has: ask, passage, query"):
            model.embed(texts=["a cat"], wanted=Wanted(prompt="document"))
        with pytest.raises(multi2vec.Unsupported, match="it has: 4, 8, 16"):
            model.embed(texts=["a cat"], wanted=Wanted(dimensions=12))


def test_one_kind_at_a_time_and_in_a_list(model: Model) -> None:
    with pytest.raises(TypeError, match="one of them at a time"):
        model.embed()
    with pytest.raises(TypeError, match="one of them at a time"):
        model.embed(texts=["a"], pictures=[b""])
    with pytest.raises(TypeError, match="takes a list"):
        model.embed(texts="a cat")
    assert np.asarray(model.embed(texts=[]).rows).shape == (0, toy.DIMENSIONS)


def test_errors_are_the_documented_ones(model: Model, tmp_path: Path) -> None:
    with pytest.raises(multi2vec.BadInput, match=r"picture 2 of 2: .*nothing\.png cannot be read"):
        model.embed(pictures=[toy.picture(), tmp_path / "nothing.png"])
    with pytest.raises(multi2vec.BadInput, match="a video cannot be opened"):
        model.embed(videos=[b"GIF89a"])
    with pytest.raises(multi2vec.ManifestError, match="is not a model folder"):
        multi2vec.open_model(tmp_path)
    with pytest.raises(multi2vec.ManifestError, match="models/no-such-tag is not a model folder"):
        multi2vec.open_model("no-such-tag")
    with pytest.raises(multi2vec.DeviceError, match=r"GPU\.9 is not there"):
        multi2vec.open_model(toy.write(tmp_path / "toy"), device="gpu.9")


def test_wrong_vectors_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Lying(Encoder):
        def encode(self, inputs: object) -> dict[str, np.ndarray]:  # type: ignore[override]
            return {name: -array for name, array in super().encode(inputs).items()}  # type: ignore[arg-type]

    monkeypatch.setattr("multi2vec.engine.loading.Encoder", Lying)
    with pytest.raises(multi2vec.WrongVectors, match="an example text gives a vector at cosine -1"):
        multi2vec.open_model(toy.write(tmp_path))
    assert not [thread for thread in threading.enumerate() if thread.name == "multi2vec"]


def test_from_several_threads(model: Model) -> None:
    texts = [f"{a} {b}" for a in toy.WORDS[4:] for b in toy.WORDS[4:]]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda text: model.embed(texts=[text]).rows[0], texts))
    np.testing.assert_allclose(answers, [toy.text_vector(text) for text in texts], atol=1e-5)


def test_closing(toy_folder: Path) -> None:
    model = multi2vec.open_model(toy_folder)
    model.embed(texts=["cat"])
    model.close()
    model.close()
    with pytest.raises(multi2vec.Closed, match="toy was closed"):
        model.embed(texts=["cat"])


def test_closing_while_others_wait(toy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, open_now = threading.Event(), threading.Event()
    model = multi2vec.open_model(toy_folder, precision="f32")
    encoder = model._embedder.lanes["text"].encoder
    original = encoder.encode

    def slow(inputs: object) -> object:
        entered.set()
        assert open_now.wait(20)
        return original(inputs)  # type: ignore[arg-type]

    monkeypatch.setattr(encoder, "encode", slow)
    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(model.embed, texts=["cat"])
        assert entered.wait(20)
        closing = pool.submit(model.close)
        with pytest.raises(multi2vec.Closed):
            waiting.result(20)
        open_now.set()
        closing.result(20)


ENDS = """
import sys, multi2vec
model = multi2vec.open_model(sys.argv[1])
print(model.embed(texts=["cat"]).rows.shape)
"""


def test_a_program_that_does_not_close_its_model_ends_all_the_same(toy_folder: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDS, str(toy_folder)],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "(1, 16)\n"
    assert done.stderr == ""


def test_what_is_public_is_there_and_documented() -> None:
    for name in multi2vec.__all__:
        public = getattr(multi2vec, name)
        assert name == "__version__" or (public.__doc__ and len(public.__doc__) > 20)
    assert set(dir(multi2vec)) >= set(multi2vec.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        multi2vec.nothing  # noqa: B018


def test_importing_the_package_is_cheap() -> None:
    code = "import sys, multi2vec; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "openvino", "fastapi", "pydantic", "asyncio"} & set(modules)


@pytest.mark.parametrize("folder", ["demo", "toy"])
def test_a_name_is_a_tag_first_and_then_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    toy.write(tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    with multi2vec.open_model(folder) as by_name, multi2vec.open_model(f"./{folder}") as by_path:
        assert (by_name.manifest.tag, by_path.manifest.tag) == (folder, "toy")


def test_errors_are_imported_without_openvino() -> None:
    code = "import sys; from multi2vec import BadInput, Wanted, ManifestError; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "openvino", "asyncio"} & set(modules)


def test_texts_and_pictures_in_one_item(tmp_path: Path) -> None:
    picture = toy.picture(1, (16, 8))
    picture.save(tmp_path / "cat.png")
    with multi2vec.open_model(toy_fused.write(tmp_path / "model"), precision="f32") as model:
        given = [[{"picture": tmp_path / "cat.png"}, {"text": "a cat"}], [{"text": "a cat", "picture": picture}]]
        found = np.asarray(model.embed(fused=given).rows)
        assert found == pytest.approx(
            np.array([toy_fused.vector(picture, "a cat"), toy_fused.vector("a cat", picture)]), abs=1e-5
        )
        with pytest.raises(TypeError, match="a fused item has a part 'sound'; its parts can be text, picture, video"):
            model.embed(fused=[[{"sound": b""}]])
