"""The server's pictures, pixel by pixel against transformers' and open_clip's own preparation."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from transformers import CLIPImageProcessorPil

from inference.convert import recipe, samples
from inference.convert.families import clip, open_clip
from inference.manifest import ImageSpec
from inference.serve import images
from inference.serve.images import Pixels, prepare

EDGE = 40
RECIPE = recipe.read("demo")
MODES = ("RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16")


class Transformers:
    processor = CLIPImageProcessorPil(size={"shortest_edge": EDGE}, crop_size={"height": EDGE, "width": EDGE})
    spec = clip.image_spec(processor, RECIPE)
    images = clip.Images(None, processor, spec)  # type: ignore[arg-type]


class OpenClip:
    settings = PreprocessCfg(size=EDGE)
    spec = open_clip.image_spec(vars(settings), RECIPE)
    images = open_clip.Images(None, image_transform_v2(settings, is_train=False), spec)


class Squashed:
    settings = PreprocessCfg(size=EDGE, resize_mode="squash", interpolation="bilinear")
    spec = open_clip.image_spec(vars(settings), RECIPE)
    images = open_clip.Images(None, image_transform_v2(settings, is_train=False), spec)


each_library = pytest.mark.parametrize("library", [Transformers, OpenClip, Squashed])


def picture(width: int, height: int, mode: str, seed: int) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    if mode == "I;16":
        image = Image.fromarray(noise[..., 0].astype(np.uint16) * 3)
    elif mode in ("RGBA", "LA"):
        image = Image.fromarray(noise, "RGBA").convert(mode)
    elif mode == "P":
        image = Image.fromarray(noise[..., :3], "RGB").quantize(16)
    else:
        image = Image.fromarray(noise[..., :3], "RGB").convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "TIFF" if mode == "CMYK" else "PNG")
    return buffer.getvalue()


@each_library
@given(
    width=st.integers(1, 130),
    height=st.integers(1, 130),
    mode=st.sampled_from(MODES),
    seed=st.integers(0, 9),
)
def test_pictures_of_any_size_and_mode(library: Any, width: int, height: int, mode: str, seed: int) -> None:
    data = picture(width, height, mode, seed)
    assert np.array_equal(prepare(data, library.spec), library.images.pixels(data))


@each_library
@pytest.mark.parametrize("name", [each.name for each in samples.pictures()])
def test_the_samples(library: Any, name: str) -> None:
    data = next(each.data for each in samples.pictures() if each.name == name)
    assert np.array_equal(prepare(data, library.spec), library.images.pixels(data))


def mean_difference(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(np.int16) - other).mean())


@pytest.mark.parametrize("size", [(2, 700), (700, 2), (900, 31)])
def test_pictures_too_long_to_be_resized_as_a_whole(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    data, spec = picture(*size, "RGB", 0), Transformers.spec
    whole = prepare(data, spec)
    monkeypatch.setattr(images, "LARGEST_WHOLE_RESIZE", 0)
    part = prepare(data, spec)
    assert part.shape == whole.shape
    # The two directions may be taken in the other order; noise of full contrast is the worst case.
    assert mean_difference(part, whole) < 8


def test_orientation_is_applied_only_where_the_recipe_asks() -> None:
    data = next(each.data for each in samples.pictures() if each.name == "EXIF orientation 6")
    as_stored = prepare(data, Transformers.spec)
    upright = prepare(data, ImageSpec(**{**vars(Transformers.spec), "exif_orientation": True}))
    turned = np.rot90(as_stored, k=-1)
    assert not np.array_equal(as_stored, upright)
    assert mean_difference(upright, turned) < 2
