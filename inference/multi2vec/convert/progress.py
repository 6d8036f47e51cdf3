"""Shows what takes long: a line with the time that has passed on a terminal, a line per step in a log."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, track

Item = TypeVar("Item")


@contextlib.contextmanager
def step(what: str, console: Console) -> Iterator[None]:
    """Show `what` as long as it lasts."""
    if not console.is_terminal:
        console.print(what, markup=False, highlight=False)
        yield
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as shown:
        shown.add_task(what, total=None)
        yield


def follow(items: Sequence[Item], what: str, console: Console) -> Iterable[Item]:
    """The items, with a bar that follows them (in a log: a line)."""
    if console.is_terminal:
        return track(items, what, console=console, transient=True)
    console.print(f"comparing: {what}", markup=False, highlight=False)
    return items
