"""Texts: from a string to token ids, and from several of them to a tower's inputs.

The steps before the tokenizer (`TextSpec.clean`) are the original library's, in its order; `tokenizer.json` does the
rest. A test holds the ids against the original tokenizers on strings that are hard.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import ftfy
import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from inference.manifest import TextSpec, TowerSpec
from inference.serve.errors import BadInput

Ids = npt.NDArray[np.int64]

# OpenVINO prepares its kernels for each new shape and keeps them: fewer lengths cost less time and memory than the
# padding that they add.
LENGTH_STEP = 8

CLEANING: dict[str, Callable[[str], str]] = {
    "strip": str.strip,
    "fix_text": ftfy.fix_text,
    # Twice, as the originals do it: text off the web is often escaped twice.
    "unescape_html": lambda text: html.unescape(html.unescape(text)),
    "collapse_whitespace": lambda text: " ".join(text.split()),
    "lower": str.lower,
}


@dataclass(frozen=True)
class Tokens:
    """One text's token ids, int64 (length,), special tokens included."""

    ids: Ids
    truncated: bool

    def __len__(self) -> int:
        return len(self.ids)


class TextPreparer:
    """Turns texts into what one tower takes."""

    def __init__(self, folder: Path, spec: TextSpec, tower: TowerSpec) -> None:
        self._spec = spec
        self._inputs = tuple(each.name for each in tower.inputs)
        self._clean = tuple(CLEANING[name] for name in spec.clean)
        self._tokenizer = Tokenizer.from_file(str(folder / spec.tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(spec.max_length)

    def tokenise(self, text: str, prompt: str | None = None) -> Tokens:
        """The text's tokens behind the prompt of that name (default: the spec's own).

        A text longer than the model takes is cut at the end, as the original library does it; the end token stays.
        Raises `BadInput` for what is no text, and for a prompt that is not there.
        """
        text = self._prefix(prompt) + text
        for step in self._clean:
            text = step(text)
        try:
            encoding = self._tokenizer.encode(text)
        except TypeError:
            raise BadInput("a text is not valid Unicode: it holds half of a surrogate pair") from None
        return Tokens(np.array(encoding.ids, dtype=np.int64), bool(encoding.overflowing))

    def collate(self, items: Sequence[Tokens]) -> dict[str, Ids]:
        """The tower's inputs for several texts, int64 (len(items), length) each, padded on the right: to the model's
        fixed length, or to the longest of them, rounded up to `LENGTH_STEP`."""
        spec = self._spec
        length = spec.max_length if spec.padding == "fixed" else self._rounded(max(map(len, items)))
        ids = np.full((len(items), length), spec.pad_id, dtype=np.int64)
        mask = np.zeros((len(items), length), dtype=np.int64)
        for row, item in enumerate(items):
            ids[row, : len(item)] = item.ids
            mask[row, : len(item)] = 1
        arrays = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        return {name: arrays[name] for name in self._inputs}

    def _rounded(self, length: int) -> int:
        return max(length, min(self._spec.max_length, -(-length // LENGTH_STEP) * LENGTH_STEP))

    def _prefix(self, prompt: str | None) -> str:
        name = prompt or self._spec.default_prompt
        if name is None:
            return ""
        if name not in self._spec.prompts:
            known = ", ".join(sorted(self._spec.prompts)) or "none"
            raise BadInput(f"the model has no prompt named {name!r}; it has: {known}")
        return self._spec.prompts[name]
