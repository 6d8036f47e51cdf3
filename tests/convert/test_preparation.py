"""The engine's pictures, pixel by pixel against transformers' and open_clip's own preparation."""

from __future__ import annotations

import dataclasses
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from transformers import CLIPImageProcessorPil

from multi2vec.convert import drawings, options, references, samples
from multi2vec.convert.families import open_clip
from multi2vec.convert.parts import processors, two_towers
from multi2vec.convert.recipe import PictureOptions, Recipe
from multi2vec.engine.preparers import pictures
from multi2vec.engine.preparers.pictures import Pixels, prepare
from multi2vec.specs import PictureSpec

EDGE = 40
MODES = ("RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16")


CLIP = CLIPImageProcessorPil(size={"shortest_edge": EDGE}, crop_size={"height": EDGE, "width": EDGE})
PLAIN = PreprocessCfg(size=EDGE)
SQUASHED = PreprocessCfg(size=EDGE, resize_mode="squash", interpolation="bilinear")


@dataclass(frozen=True)
class Library:
    """What the engine is told, and what the original library does with the same recipe."""

    spec: PictureSpec
    original: two_towers.Pictures | open_clip.Pictures

    def pixels(self, data: bytes) -> Pixels:
        return self.original.prepare(data)["pixels"]


def wishing(**picture: Any) -> Recipe:
    return Recipe("tag", "family", "mit", {}, picture=PictureOptions(**picture))


def transformers(recipe: Recipe) -> Library:
    own = processors.picture_spec(CLIP)
    return Library(options.picture_spec(own, recipe), two_towers.Pictures(None, CLIP, references.opener(own, recipe)))  # type: ignore[arg-type]


def of_open_clip(settings: PreprocessCfg, recipe: Recipe) -> Library:
    own = open_clip.own_picture_spec(vars(settings))
    transforms = image_transform_v2(settings, is_train=False)
    return Library(
        options.picture_spec(own, recipe), open_clip.Pictures(None, transforms, references.opener(own, recipe))
    )


LIBRARIES = {
    "transformers": transformers(wishing()),
    "transformers, alpha dropped": transformers(wishing(transparency="drop")),
    "transformers, on white": transformers(wishing(transparency="white", exif_orientation=True)),
    "open_clip": of_open_clip(PLAIN, wishing()),
    "open_clip, alpha dropped": of_open_clip(PLAIN, wishing(transparency="drop", exif_orientation=True)),
    "open_clip, on white": of_open_clip(PLAIN, wishing(transparency="white")),
    "open_clip, squashed": of_open_clip(SQUASHED, wishing()),
}
each_library = pytest.mark.parametrize("library", LIBRARIES.values(), ids=LIBRARIES)
PLAIN_TRANSFORMERS = LIBRARIES["transformers"]


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
def test_pictures_of_any_size_and_mode(library: Library, width: int, height: int, mode: str, seed: int) -> None:
    data = picture(width, height, mode, seed)
    assert np.array_equal(prepare(data, library.spec), library.pixels(data))


@each_library
@pytest.mark.parametrize("name", [each.name for each in samples.pictures()])
def test_the_samples(library: Library, name: str) -> None:
    data = sample(name)
    assert np.array_equal(prepare(data, library.spec), library.pixels(data))


def sample(name: str) -> bytes:
    data: bytes = next(each.item for each in samples.pictures() if each.name == name)
    return data


def test_what_is_done_about_transparency_matters() -> None:
    """Otherwise the comparisons above would prove nothing about it."""
    for name in ("RGBA", "palette with transparency"):
        data = sample(name)
        white, dropped = (LIBRARIES[f"transformers, {each}"] for each in ("on white", "alpha dropped"))
        assert not np.array_equal(white.pixels(data), dropped.pixels(data))


def test_alpha_is_dropped_as_weaviate_s_container_drops_it() -> None:
    """It opens every picture with `convert("RGB")`; what comes after sees no transparency."""
    data = drawings.scene_file(90, 70, "RGBA")
    opaque = Image.open(io.BytesIO(data)).convert("RGB")
    expected = processors.unscaled(CLIP, opaque)
    assert np.array_equal(prepare(data, LIBRARIES["transformers, alpha dropped"].spec), expected)


def mean_difference(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(np.int16) - other).mean())


@pytest.mark.parametrize("size", [(2, 700), (700, 2), (900, 31)])
def test_pictures_too_long_to_be_resized_as_a_whole(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    data, spec = picture(*size, "RGB", 0), PLAIN_TRANSFORMERS.spec
    whole = prepare(data, spec)
    monkeypatch.setattr(pictures, "LARGEST_WHOLE_RESIZE", 0)
    part = prepare(data, spec)
    assert part.shape == whole.shape
    # The two directions may be taken in the other order; noise of full contrast is the worst case.
    assert mean_difference(part, whole) < 8


def test_orientation_is_applied_only_where_the_recipe_asks() -> None:
    data = sample("EXIF orientation 6")
    as_stored = prepare(data, PLAIN_TRANSFORMERS.spec)
    upright = prepare(data, dataclasses.replace(PLAIN_TRANSFORMERS.spec, exif_orientation=True))
    turned = np.rot90(as_stored, k=-1)
    assert not np.array_equal(as_stored, upright)
    assert mean_difference(upright, turned) < 2
