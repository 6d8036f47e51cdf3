"""Which prompt a text gets, and what stands in it."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

from multi2vec.engine.errors import Unsupported
from multi2vec.engine.wanted import Wanted
from multi2vec.specs import Prompt


def chosen(prompts: Mapping[str, Prompt], default: str | None, wanted: Wanted) -> Prompt | None:
    """The prompt of the wanted name, or the default one, or the one that has a place for the wanted task; None for a
    text as it is. Raises `Unsupported`."""
    name = default if wanted.prompt is None else wanted.prompt
    if wanted.prompt is None and wanted.task is not None:
        name = _with_task(prompts, name)
    if name is None or (not name and wanted.task is None):
        return None
    if name not in prompts:
        known = ", ".join(sorted(prompts)) or "none"
        raise Unsupported(f"the model has no prompt named {name!r}; it has: {known}")
    if wanted.task is not None and not prompts[name].takes_task:
        raise Unsupported(f"the prompt {name!r} has no place for a task")
    return prompts[name]


def task_of(prompt: Prompt, task: str | None) -> str:
    """What stands in the prompt's place for a task."""
    if not prompt.ends_sentence:
        return (task if task is not None else prompt.task) or ""
    said = (task or "").strip() or (prompt.task or "").strip()
    return said if said and unicodedata.category(said[-1]).startswith("P") else f"{said}."


def _with_task(prompts: Mapping[str, Prompt], default: str | None) -> str:
    with_task = [name for name, prompt in prompts.items() if prompt.takes_task]
    if default in with_task:
        return str(default)
    if len(with_task) != 1:
        known = ", ".join(with_task) or "none"
        raise Unsupported(f"a task needs the name of a prompt that has a place for it; such prompts are: {known}")
    return with_task[0]
