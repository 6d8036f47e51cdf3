"""The page about choosing a model: what the recipes and the records say, and nothing else."""

from __future__ import annotations

import dataclasses

import pytest

from multi2vec.convert import recipe
from multi2vec.convert.recipe import Published
from tests.models import report

RECORD = {
    "tag": "demo",
    "weights": "fp16",
    "cpu": "A processor",
    "threads": 2,
    "checkpoint_bytes": 1,
    "conversion_seconds": 12.4,
    "peak_bytes": 1_540_000_000,
    "folder_bytes": 305_100_000,
    "parity": {
        "f32": {"text": {"dense": {"smallest_cosine": 0.9999999}}, "image": {"dense": {"smallest_cosine": 0.9999}}},
        "bf16": "not measured: this CPU has no bf16",
    },
    "speed": {"text": {"alone": 80.1, "together": 200.0}},
}


def test_the_page_is_what_is_written_of_recipes_and_records() -> None:
    assert report.PAGE.read_text() == report.current(), "run `python -m tests.models.report`"


def test_a_record_is_a_line() -> None:
    published = Published("a paper", {"ImageNet": 70.0, "COCO, R@1": 40.25})
    lines = report.page([RECORD], [dataclasses.replace(recipe.read("demo"), published=published)]).splitlines()
    assert (
        "| `demo` | fp16 | 305 | 0.9999 | not measured | 80.1, 200 |  | 12 | 1.5 | ImageNet 70; COCO, R@1 40.25 |"
        in lines
    )
    assert "Measured on A processor, 2 threads." in lines


def test_published_figures_have_their_source() -> None:
    demo = recipe.read("demo")
    one = dataclasses.replace(demo, tag="one", published=Published("a paper", {"ImageNet": 70.0, "COCO": 40.25}))
    two = dataclasses.replace(demo, tag="two", published=Published("a page", {"COCO": 50.0}))
    texts = dataclasses.replace(one, tag="three", modalities=("text",), published=Published("a card", {"MTEB": 64.23}))
    lines = report.page([], [demo, one, two, texts]).splitlines()
    assert "| model | ImageNet | COCO | source |" in lines
    assert "| `one` | 70 | 40.25 | 1 |" in lines
    assert "| `two` |  | 50 | 2 |" in lines
    assert [line for line in lines if line[:2] in ("1.", "2.")][:2] == ["1. a paper", "2. a page"]
    assert lines.index("### Texts only") > lines.index("### Texts and pictures")
    assert not any("`demo`" in line for line in lines)


@pytest.mark.parametrize("tag", [tag for tag in recipe.tags() if recipe.read(tag).published])
def test_figures_are_per_cent_and_sources_are_addresses(tag: str) -> None:
    published = recipe.read(tag).published
    assert published is not None
    assert published.source.startswith("https://")
    assert all(0 < figure < 100 for figure in published.figures.values())
