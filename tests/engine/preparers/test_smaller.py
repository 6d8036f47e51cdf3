"""Pictures that are smaller than a model's authors make them."""

from __future__ import annotations

import itertools

import pytest
from PIL import Image

from multi2vec.engine.preparers import layouts
from multi2vec.engine.preparers.layouts.smaller import with_pixels
from multi2vec.layouts import GemmaLayout, HdLayout, Layout, PatchLayout, Resize
from multi2vec.specs import FusedSpec, VideoSpec

FIRST = Resize(28, 3136, 12845056, beyond="clamp")
GME = PatchLayout(14, 2, (FIRST, Resize(28, 200704, 1003520, at_least_one=False)))
QWEN3 = PatchLayout(16, 2, (Resize(32, 4096, 1843200),), frames=2, table=48)
GEMMA = GemmaLayout(16, 3, 280)
HD = HdLayout(16)
OF_FRAMES = PatchLayout(16, 2, (Resize(32, 131072, 786432),), frames=2, table=48)
SIZES = tuple(itertools.product((60, 333, 1080, 2717), (90, 640, 1920)))


def spec(layout: Layout, video: Layout | None = None) -> FusedSpec:
    videos = VideoSpec(video, "<frame>", pixels=10**7) if video else None
    return FusedSpec("language", "vision", 64, {}, None, layout, "<picture>", video=videos)


def smaller(layout: Layout, pixels: int) -> Layout:
    return with_pixels(spec(layout), pixels).layout


def test_the_last_step_alone_is_changed() -> None:
    found = smaller(GME, 501_760)
    assert found == PatchLayout(14, 2, (FIRST, Resize(28, 200704, 501760, at_least_one=False)))


@pytest.mark.parametrize(
    ("layout", "pixels", "expected"),
    [(GEMMA, 48 * 48 * 70, GemmaLayout(16, 3, 70)), (HD, 336 * 336 * 5 - 1, HdLayout(4))],
)
def test_rows_and_tiles_are_counted_in_pixels(layout: Layout, pixels: int, expected: Layout) -> None:
    assert smaller(layout, pixels) == expected


@pytest.mark.parametrize("layout", [GME, QWEN3, GEMMA, HD])
def test_pictures_are_never_larger_than_the_authors(layout: Layout) -> None:
    assert smaller(layout, 10**9) == layout


@pytest.mark.parametrize(("layout", "least"), [(GME, 200704), (QWEN3, 4096), (GEMMA, 48 * 48), (HD, 336 * 336)])
def test_a_picture_that_the_model_cannot_take_is_refused(layout: Layout, least: int) -> None:
    smaller(layout, least)
    with pytest.raises(ValueError, match=f"at least {least} pixels, more than {least - 1}"):
        smaller(layout, least - 1)


@pytest.mark.parametrize(
    ("layout", "pixels", "of_a_patch"), [(GME, 250_000, 14**2), (QWEN3, 100_000, 16**2), (GEMMA, 100_000, 16**2)]
)
def test_pictures_have_no_more_pixels(layout: Layout, pixels: int, of_a_patch: int) -> None:
    for size in SIZES:
        laid = layouts.lay_out([Image.new("RGB", size)], smaller(layout, pixels), Image.Resampling.BICUBIC)
        assert laid.size * of_a_patch <= pixels, size


def test_tiles_have_no_more_pixels() -> None:
    for size in SIZES:
        laid = layouts.lay_out([Image.new("RGB", size)], smaller(HD, 500_000), Image.Resampling.BILINEAR)
        height, width, _ = laid.arrays["pixels"].shape
        assert height * width <= 500_000, size


@pytest.mark.parametrize(("pixels", "most"), [(10**9, 786432), (500_000, 500_000), (100_000, 131072)])
def test_frames_of_videos_are_pictures_but_keep_what_they_need(pixels: int, most: int) -> None:
    found = with_pixels(spec(QWEN3, OF_FRAMES), pixels)
    assert found.video == VideoSpec(
        PatchLayout(16, 2, (Resize(32, 131072, most),), frames=2, table=48), "<frame>", pixels=10**7
    )
    assert found.layout == smaller(QWEN3, pixels)
