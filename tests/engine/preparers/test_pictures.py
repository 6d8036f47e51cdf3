"""Preparing pictures: pixel by pixel what transformers and open_clip do, and a sentence for what is broken."""

import base64
import contextlib
import io
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import open_clip.transform
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from transformers import CLIPImageProcessorPil

from multi2vec.engine.errors import BadInput, ClientError, TooLarge
from multi2vec.engine.preparers import pictures as preparation
from multi2vec.engine.preparers.pictures import decode_base64, decoded, prepare
from multi2vec.engine.wanted import PictureFile
from multi2vec.engine.work import Limits
from multi2vec.specs import PictureSpec
from tests import pictures

SIDE = 32
TRANSFORMERS = PictureSpec("picture", SIDE, SIDE, "shortest", transparency="white")
OPEN_CLIP = PictureSpec(
    "image", SIDE, SIDE, "shortest", crop_rounding="half_even", convert_rgb="after_resize", transparency="drop"
)
SQUASH = PictureSpec("picture", SIDE, SIDE, "squash", interpolation="bilinear", convert_rgb="after_resize")

GOOD = pictures.good()


@pytest.mark.parametrize(
    ("mode", "form", "bits"),
    [
        ("RGB", "JPEG", 24),
        ("CMYK", "JPEG", 32),
        ("L", "JPEG", 8),
        ("RGBA", "PNG", 32),
        ("LA", "PNG", 16),
        ("P", "PNG", 8),
        ("1", "PNG", 1),
        ("I;16", "PNG", 16),
    ],
)
def test_what_a_picture_was(mode: str, form: str, bits: int) -> None:
    file = io.BytesIO()
    Image.new(mode, (20, 10)).save(file, form)
    _, found = decoded(file.getvalue(), lambda opened: opened.load(), Limits())
    assert found == PictureFile(20, 10, form.lower(), bits)


def test_pixels_are_no_file() -> None:
    _, found = decoded(np.zeros((10, 20, 3), dtype=np.uint8), lambda opened: None, Limits())
    assert found == PictureFile(20, 10, "", 24)


def by_transformers(data: bytes) -> np.ndarray:
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}, do_rescale=False, do_normalize=False
    )
    out = processor(Image.open(io.BytesIO(data)), return_tensors="np")["pixel_values"][0]
    return np.moveaxis(out, 0, -1)


def by_open_clip(data: bytes, mode: str = "shortest", interpolation: str = "bicubic") -> np.ndarray:
    transform = open_clip.transform.image_transform(
        SIDE, is_train=False, mean=(0, 0, 0), std=(1, 1, 1), resize_mode=mode, interpolation=interpolation
    )
    floats = transform(Image.open(io.BytesIO(data))).numpy()
    return np.moveaxis(floats * 255, 0, -1).round().astype(np.uint8)


@pytest.mark.parametrize("name", GOOD)
def test_every_kind_of_picture_as_transformers_does(name: str) -> None:
    ours = prepare(GOOD[name], TRANSFORMERS)
    assert ours.shape == (SIDE, SIDE, 3)
    assert ours.dtype == np.uint8
    assert np.array_equal(ours, by_transformers(GOOD[name]))


@pytest.mark.parametrize("name", GOOD)
def test_every_kind_of_picture_as_open_clip_does(name: str) -> None:
    assert np.array_equal(prepare(GOOD[name], OPEN_CLIP), by_open_clip(GOOD[name]))


@pytest.mark.parametrize("name", GOOD)
def test_squashed_pictures_as_open_clip_does(name: str) -> None:
    assert np.array_equal(prepare(GOOD[name], SQUASH), by_open_clip(GOOD[name], "squash", "bilinear"))


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 3))
def test_every_size_as_the_originals_do(width: int, height: int, seed: int) -> None:
    data = pictures.encode(pictures.noise((width, height), seed), "PNG")
    assert np.array_equal(prepare(data, TRANSFORMERS), by_transformers(data))
    assert np.array_equal(prepare(data, OPEN_CLIP), by_open_clip(data))


def test_an_endless_strip_costs_no_memory() -> None:
    data = pictures.encode(pictures.noise((1, 60_000)), "PNG")
    assert prepare(data, PictureSpec("picture", 224, 224, "shortest")).shape == (224, 224, 3)


@pytest.mark.parametrize(("edge", "most"), [(4001, 1), (400, 4)])
def test_large_pictures_are_decoded_one_at_a_time(monkeypatch: pytest.MonkeyPatch, edge: int, most: int) -> None:
    """So that four of them at once do not take four times the memory; small ones go side by side."""
    data = pictures.encode(Image.new("1", (edge, edge)), "PNG")
    at_work: list[int] = []
    seen: list[int] = []
    all_here = threading.Barrier(most)

    def decode(image: Image.Image, spec: PictureSpec) -> np.ndarray:
        at_work.append(1)
        all_here.wait(20)
        # Long enough for the others to come in, were they let.
        time.sleep(0.1)
        seen.append(len(at_work))
        at_work.pop()
        return np.zeros((SIDE, SIDE, 3), np.uint8)

    monkeypatch.setattr(preparation, "_pixels", decode)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: prepare(data, TRANSFORMERS), range(4)))
    assert max(seen) == most


def test_exif_orientation_is_a_choice() -> None:
    turned = PictureSpec("picture", SIDE, SIDE, "squash", exif_orientation=True)
    plain = PictureSpec("picture", SIDE, SIDE, "squash")
    rotated = GOOD["jpeg rotated"]
    assert np.array_equal(prepare(rotated, plain), prepare(GOOD["jpeg"], plain))
    upright = Image.open(io.BytesIO(GOOD["jpeg"])).transpose(Image.Transpose.ROTATE_270)
    expected = np.asarray(upright.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    assert np.array_equal(prepare(rotated, turned), expected)


@pytest.mark.parametrize("name", pictures.broken())
def test_broken_files_get_a_sentence(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ClientError) as error:
            prepare(pictures.broken()[name], TRANSFORMERS)
    assert len(error.value.message) > 20


@given(st.binary(max_size=200))
def test_any_bytes_give_pixels_or_a_client_error(data: bytes) -> None:
    with contextlib.suppress(ClientError):
        assert prepare(data, TRANSFORMERS).shape == (SIDE, SIDE, 3)


@given(st.data())
def test_any_damage_gives_pixels_or_a_client_error(data: st.DataObject) -> None:
    file = bytearray(GOOD[data.draw(st.sampled_from(sorted(GOOD)))])
    for _ in range(data.draw(st.integers(1, 5))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(file)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(ClientError):
            assert prepare(bytes(file[:cut]), TRANSFORMERS).shape == (SIDE, SIDE, 3)


def test_limits_hold_before_anything_is_decoded() -> None:
    with pytest.raises(TooLarge, match="MAX_PICTURE_PIXELS"):
        prepare(GOOD["png"], TRANSFORMERS, Limits(picture_pixels=100))
    with pytest.raises(TooLarge, match="MAX_PICTURE_BYTES"):
        prepare(GOOD["png"], TRANSFORMERS, Limits(picture_bytes=100))
    with pytest.raises(TooLarge, match="MAX_PICTURE_BYTES"):
        decode_base64("A" * 1000, 100)


@given(st.binary(max_size=300), st.integers(0, 3), st.booleans(), st.booleans())
def test_base64_in_all_its_spellings(data: bytes, spaces: int, padded: bool, url_safe: bool) -> None:
    text = (base64.urlsafe_b64encode(data) if url_safe else base64.b64encode(data)).decode()
    if not padded:
        text = text.rstrip("=")
    for at in range(spaces):
        where = len(text) * (at + 1) // 4
        text = text[:where] + " \n\t\r"[at] + text[where:]
    assert decode_base64(text, 1000) == data
    assert decode_base64(f"data:image/png;base64,{text}", 1000) == data


@pytest.mark.parametrize("text", ["%%%%", "abcde", "aGVsbG8=x", "ünïcode", "data:image/png,abc", "data:abc", "a"])
def test_what_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="base64"):
        decode_base64(text, 1000)


PIXELS = np.asarray(pictures.noise())
PNG = pictures.encode(pictures.noise(), "PNG")


@pytest.mark.parametrize(
    "item",
    [PIXELS, Image.fromarray(PIXELS), PNG, base64.b64encode(PNG).decode()],
    ids=["array", "Pillow", "bytes", "base64"],
)
def test_what_a_picture_can_be(item: object) -> None:
    expected = prepare(pictures.encode(pictures.noise(), "BMP"), TRANSFORMERS)
    assert np.array_equal(prepare(item, TRANSFORMERS), expected)  # type: ignore[arg-type]


def test_a_picture_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(GOOD["png"])
    assert np.array_equal(prepare(tmp_path / "one.png", TRANSFORMERS), prepare(GOOD["png"], TRANSFORMERS))
    with pytest.raises(BadInput, match=r"two\.png cannot be read: No such file"):
        prepare(tmp_path / "two.png", TRANSFORMERS)
    with pytest.raises(TooLarge, match="MAX_PICTURE_BYTES"):
        prepare(tmp_path / "one.png", TRANSFORMERS, Limits(picture_bytes=10))


@pytest.mark.parametrize("shape", [(2, 2, 5), (2,), (0, 4, 3)])
def test_arrays_that_are_no_pictures(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadInput, match="a picture is an array of uint8"):
        prepare(np.zeros(shape, dtype=np.uint8), TRANSFORMERS)
    with pytest.raises(BadInput, match="a picture is an array of float32"):
        prepare(np.zeros((4, 4, 3), dtype=np.float32), TRANSFORMERS)  # type: ignore[arg-type]


def test_the_limit_of_pixels_holds_for_arrays_too() -> None:
    with pytest.raises(TooLarge, match="MAX_PICTURE_PIXELS"):
        prepare(PIXELS, TRANSFORMERS, Limits(picture_pixels=100))
