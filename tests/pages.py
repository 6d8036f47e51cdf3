"""Pages whose examples are run: their blocks of code, and whether an answer is the one that is shown."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.server import ROOT

ADDRESS = "http://localhost:8080"
LANGUAGES = ("sh", "python")
# Vectors and scores in bfloat16 differ by less.
TOLERANCE = 0.02
LEFT_OUT = "…"

MARKS = r"(?P<marks>(?:<!-- [^\n]* -->\n)*)"
BLOCK = re.compile(rf"^{MARKS}```(?P<language>\w*)\n(?P<content>.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"


@dataclass(frozen=True)
class Block:
    """An example: what is run, and what it then writes.

    `marks` are the comments in front of it, `<!-- word: whatever -->`, by their word."""

    language: str
    code: str
    line: int
    marks: dict[str, str] = field(default_factory=dict)
    answer_language: str = ""
    answer: str = ""

    def run(self, url: str, replaced: Sequence[tuple[str, str]] = ()) -> str:
        """What it writes with the server at `url`, in the repository's folder, as a user's shell or Python runs it."""
        code = self.code.replace(ADDRESS, url)
        for shown, real in replaced:
            code = code.replace(shown, real)
        command = ["bash", "-euo", "pipefail", "-c"] if self.language == "sh" else [sys.executable, "-c"]
        # Servers of tests are on loopback, where no proxy leads.
        environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        done = subprocess.run(
            [*command, code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, f"line {self.line}:\n{done.stderr}"
        return done.stdout

    def check(self, output: str) -> None:
        """Fail unless the output is the answer that is shown."""
        if self.answer_language == "json":
            differences = list(differing(read(self.answer), json.loads(output)))
            assert not differences, f"line {self.line}: {differences}, in {output}"
        else:
            assert_same_lines(self.answer, output)


def blocks(page: str) -> list[Block]:
    """A page's examples. A block of another language, or of none, right behind one is what it writes."""
    found: list[Block] = []
    end = 0
    for match in BLOCK.finditer(page):
        language, content = match["language"], match["content"]
        if language in LANGUAGES:
            marks = dict(re.findall(r"<!-- (\w+): (.*) -->", match["marks"]))
            found.append(Block(language, content, page.count("\n", 0, match.start()) + 1, marks))
            end = match.end()
        elif end and not page[end : match.start()].strip():
            found[-1] = replace(found[-1], answer_language=language, answer=content)
            end = 0
        else:
            end = 0
    return found


def read(shown: str) -> Any:
    """JSON in which … may stand for anything: a value, the rest of a list, of an object or of a string."""
    quoted = re.sub(r'("(?:[^"\\]|\\.)*")|…', lambda match: match[1] or f'"{LEFT_OUT}"', shown)
    # What stands alone in an object is a key.
    return json.loads(re.sub(r'([{,]\s*)"…"(?=\s*})', rf'\1"{LEFT_OUT}": 0', quoted))


def differing(shown: Any, got: Any, place: str = "$") -> Iterator[str]:
    """Where the answer is not as shown. Whole numbers and strings are equal, others near."""
    if shown == LEFT_OUT:
        return
    if isinstance(shown, dict) and isinstance(got, dict):
        if shown.keys() - {LEFT_OUT} - got.keys() or (LEFT_OUT not in shown and shown.keys() != got.keys()):
            yield f"{place} has {sorted(got)}"
        for key in shown.keys() & got.keys():
            yield from differing(shown[key], got[key], f"{place}.{key}")
    elif isinstance(shown, list) and isinstance(got, list):
        head = shown[:-1] if shown[-1:] == [LEFT_OUT] else shown
        if len(got) < len(head) or (head is shown and len(got) != len(head)):
            yield f"{place} has {len(got)} items"
        for index, pair in enumerate(zip(head, got, strict=False)):
            yield from differing(*pair, f"{place}[{index}]")
    elif not _is_same(shown, got):
        yield f"{place} is {got!r}"


def assert_same_lines(shown: str, got: str) -> None:
    """Fail unless the words are equal, and the numbers near."""
    assert re.sub(NUMBER, "N", got).split() == re.sub(NUMBER, "N", shown).split()
    numbers = [[float(each) for each in re.findall(NUMBER, text)] for text in (got, shown)]
    assert numbers[0] == pytest.approx(numbers[1], abs=TOLERANCE)


def _is_same(shown: Any, got: Any) -> bool:
    if isinstance(shown, float) and isinstance(got, float):
        return math.isclose(shown, got, abs_tol=TOLERANCE)
    if isinstance(shown, str) and isinstance(got, str) and LEFT_OUT in shown:
        return bool(re.fullmatch(".*".join(map(re.escape, shown.split(LEFT_OUT))), got, re.DOTALL))
    return type(shown) is type(got) and bool(shown == got)
