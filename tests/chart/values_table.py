"""The chart's values as the README's table: `python -m tests.chart.values_table` prints it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from tests.chart.helm import CHART

VALUES = CHART / "values.yaml"
KEY = re.compile(r"^( *)([A-Za-z]+):")
COMMENT = re.compile(r"^ *# (.*)")


class Row(NamedTuple):
    """One key of the values with the comment above it."""

    path: tuple[str, ...]
    default: Any
    text: str


def comments() -> dict[tuple[str, ...], str]:
    """Every key of values.yaml that has a comment, by its path."""
    found: dict[tuple[str, ...], str] = {}
    path: list[str] = []
    lines: list[str] = []
    for line in VALUES.read_text().splitlines():
        if comment := COMMENT.match(line):
            lines.append(comment[1])
            continue
        if key := KEY.match(line):
            path[len(key[1]) // 2 :] = [key[2]]
            if lines:
                found[tuple(path)] = " ".join(lines)
        lines = []
    return found


def rows() -> list[Row]:
    """A row for each key with a comment. A map without one is described key by key."""
    texts = comments()

    def walk(values: dict[str, Any], above: tuple[str, ...]) -> Iterator[Row]:
        for key, value in values.items():
            path = (*above, key)
            if path not in texts and isinstance(value, dict) and value:
                yield from walk(value, path)
            else:
                yield Row(path, value, texts.get(path, ""))

    return list(walk(yaml.safe_load(VALUES.read_text()), ()))


def shown(default: Any) -> str:
    """A default as values files write it."""
    return default if isinstance(default, str) and default else json.dumps(default)


def table() -> str:
    """The values as a Markdown table."""
    lines = ["| value | default | what it is |", "| --- | --- | --- |"]
    for row in rows():
        text = row.text.replace("|", "\\|")
        lines.append(f"| `{'.'.join(row.path)}` | `{shown(row.default)}` | {text} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
