"""docs/fused.md: every example runs with each model that it is about."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from multi2vec.convert import recipe
from tests import pages
from tests.convert.conftest import Converted
from tests.convert.layouts import LAYOUTS
from tests.pages import Block
from tests.server import ROOT, Server, serving

PAGE = (ROOT / "docs" / "fused.md").read_text()
BLOCKS = pages.blocks(PAGE)
LIBRARY = "multi2vec.open_model"
FUSED = [name for name, layout in LAYOUTS.items() if "fused" in layout.inputs]

Servers = Callable[[str], Server]


@pytest.fixture(scope="module")
def servers(converted: Callable[[str], Converted]) -> Iterator[Servers]:
    """Each layout's, started when it is first asked for."""
    started: dict[str, Server] = {}
    with ExitStack() as stack:

        def named(layout: str) -> Server:
            if layout not in started:
                started[layout] = stack.enter_context(serving(converted(layout).folder, PRECISION="f32"))
            return started[layout]

        yield named


def test_every_model_of_texts_and_pictures_is_on_the_page() -> None:
    named = set(re.findall(r"`([^`]+)`", PAGE[PAGE.index("| tag |") : PAGE.index("Where nothing else")]))
    assert {tag for tag in recipe.tags() if "fused" in (recipe.read(tag).modalities or ())} <= named


@pytest.mark.parametrize("layout", FUSED)
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"line {block.line}")
def test_it_gives_the_answer_that_is_shown(
    block: Block, layout: str, servers: Servers, converted: Callable[[str], Converted]
) -> None:
    tag = LAYOUTS[layout].tag
    replaced = [('"gme-Qwen2-VL-2B-Instruct"', repr(str(converted(layout).folder)))] if LIBRARY in block.code else []
    takes_task = any(prompt.takes_task for prompt in converted(layout).manifest.inputs["text"].prompts.values())
    if not takes_task:
        replaced.append((', "task": "Find the same shapes."', ""))
    block.check(block.run(servers(layout).url, [*replaced, ("any of these models", tag)]))
