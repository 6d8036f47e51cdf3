"""docs/fused.md: every example runs with each model that it is about."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from multi2vec import names, verify
from multi2vec.convert import command, published, recipe
from tests import pages
from tests.convert.conftest import Converted
from tests.convert.layouts import LAYOUTS
from tests.pages import Block
from tests.server import ROOT, Server, serving

PAGE = (ROOT / "docs" / "fused.md").read_text()
BLOCKS = pages.blocks(PAGE)
RUN = [block for block in BLOCKS if "needs" not in block.marks]
# What an example needs that is not run; tests/convert/test_published.py runs the command on other weights.
WEIGHTS = "the weights, and the authors' pictures"
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


def test_what_is_not_run_is_named() -> None:
    assert [block.marks["needs"] for block in BLOCKS if block not in RUN] == [WEIGHTS]


def test_the_commands_that_check_a_conversion() -> None:
    """They are right as far as it shows without weights: options, and the addresses of pictures."""
    (block,) = [block for block in BLOCKS if block.marks.get("needs") == WEIGHTS]
    lines = block.code.replace("\\\n", "").splitlines()
    called = [shlex.split(line)[1:] for line in lines if line.startswith("multi2vec ")]
    assert [command for command, *_ in called] == ["convert", "verify"]
    converted = command.parser().parse_args(called[0][1:])
    checked = verify.parser().parse_args(called[1][1:])
    known = published.read(checked.published)
    assert (converted.tag, known.tag) == (checked.published, checked.published)
    assert re.findall(r"https://\S+", block.code) == [picture.url for picture in known.pictures.values()]
    assert [Path(picture.url).name for picture in known.pictures.values()] == list(known.pictures)


def test_the_table_of_published_scores() -> None:
    rows = re.findall(r"^\| `(.+?)` \| (\d+) \| ([\d.]+) \|", PAGE, re.MULTILINE)
    every = [published.read(tag) for tag in names.tags(published.TABLES)]
    expected = {
        (each.tag, str(sum(len(one.scores) for one in each.sets)), *{f"{one.tolerance:g}" for one in each.sets})
        for each in every
    }
    assert set(rows) == expected


@pytest.mark.parametrize("layout", FUSED)
@pytest.mark.parametrize("block", RUN, ids=lambda block: f"line {block.line}")
def test_it_gives_the_answer_that_is_shown(
    block: Block, layout: str, servers: Servers, converted: Callable[[str], Converted]
) -> None:
    tag = LAYOUTS[layout].tag
    replaced = [('"gme-Qwen2-VL-2B-Instruct"', repr(str(converted(layout).folder)))] if LIBRARY in block.code else []
    takes_task = any(prompt.takes_task for prompt in converted(layout).manifest.inputs["text"].prompts.values())
    if not takes_task:
        replaced.append((', "task": "Find the same shapes."', ""))
    block.check(block.run(servers(layout).url, [*replaced, ("any of these models", tag)]))
