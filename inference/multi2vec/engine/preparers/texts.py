"""Texts: from a string to token ids, and from several of them to a tower's inputs.

The steps before the tokenizer (`TextSpec.clean`) are the original library's, in its order; `tokenizer.json` does the
rest. A test holds the ids against the original tokenizers on strings that are hard.
"""

from __future__ import annotations

import html
import json
import string
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import ftfy
import numpy as np
from tokenizers import Encoding, Tokenizer

from multi2vec.engine.preparers import prompts, tokens
from multi2vec.engine.preparers.protocol import Prepared
from multi2vec.engine.preparers.tokens import IDS, MASK, Ids, Text, Token
from multi2vec.engine.wanted import Wanted
from multi2vec.engine.work import Limits
from multi2vec.specs import Prompt, TextSpec, TowerSpec

# A text of this many characters is tokenised in about 0.3 ms.
QUICK_CHARACTERS = 1000

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)

CLEANING: dict[str, Callable[[str], str]] = {
    "strip": str.strip,
    "fix_text": ftfy.fix_text,
    # Twice, as the originals do it: text off the web is often escaped twice.
    "unescape_html": lambda text: html.unescape(html.unescape(text)),
    "collapse_whitespace": lambda text: " ".join(text.split()),
    "lower": str.lower,
    "spaces_for_underscores": lambda text: text.replace("_", " "),
    # ASCII's only, as the originals do it.
    "remove_punctuation": lambda text: text.translate(_NO_PUNCTUATION),
    # In front of the first word, as sentencepiece marks the others; in the text itself it is a space.
    "lead_with_mark": lambda text: "▁" + text.replace("▁", " "),
}

# An input of towers with several adapters, and what it is for a text that none of them computes.
ADAPTER, NO_ADAPTER = "adapter", -1


def replacing(table: Mapping[str, str]) -> Callable[[str], str]:
    """What puts the table's values in place of its keys, from the left, the longest first."""
    longest: dict[str, int] = {}
    for key in table:
        longest[key[0]] = max(len(key), longest.get(key[0], 0))

    def replaced(text: str) -> str:
        if longest.keys().isdisjoint(text):
            return text
        pieces, place = [], 0
        while place < len(text):
            end = place + longest.get(text[place], 0)
            while end > place and text[place:end] not in table:
                end -= 1
            end = max(end, place + 1)
            pieces.append(table.get(text[place:end], text[place:end]))
            place = end
        return "".join(pieces)

    return replaced


class TextPreparer:
    """Turns texts into what one tower takes."""

    def __init__(self, folder: Path, spec: TextSpec, tower: TowerSpec, limits: Limits = Limits()) -> None:
        self._spec = spec
        self._inputs = tuple(each.name for each in tower.inputs)
        self._clean = tuple(CLEANING[name] for name in spec.clean)
        if spec.characters is not None:
            self._clean = (*self._clean, replacing(json.loads((folder / spec.characters).read_text("utf-8"))))
        self._tokenizer = Tokenizer.from_file(str(folder / spec.tokenizer))
        self._tokenizer.no_padding()
        # Truncation is a state of the tokenizer, and callers may want different ones at the same time.
        self._tokenizer.no_truncation()
        self._specials = self._tokenizer.num_special_tokens_to_add(False)

    def is_quick(self, item: Text) -> bool:
        """Whether the text is short."""
        return len(item) <= QUICK_CHARACTERS

    def prepare(self, item: Text, wanted: Wanted = Wanted()) -> Prepared:
        """The text's token ids, int64 (length,), special tokens included, in its prompt; and for a tower that takes it,
        the number of the prompt's adapter, int64 (). A text given as token ids is taken as it is, without a prompt.

        A text longer than the model takes, or than wanted, loses its end or start, or is refused; the special tokens
        stay. Raises `BadInput` for what is no text or too long, `Unsupported` for a prompt or length that is not there.
        """
        length = tokens.allowed_length(wanted, self._spec.max_length, self._specials)
        prompt = prompts.chosen(self._spec.prompts, self._spec.default_prompt, wanted)
        found: Sequence[int]
        if isinstance(item, str):
            found, is_long = self._ids(item, prompt, length, wanted)
        else:
            found, is_long = self._given_ids(item, length, wanted)
        ids = np.array(found, dtype=np.int64)
        # Where all are padded to one length, texts of any length cost the same.
        size = self._spec.max_length if self._spec.padding == "fixed" else len(ids)
        return Prepared({IDS: ids, **self._adapter(prompt)}, size=size, tokens=len(ids), truncated=is_long)

    def collate(self, items: Sequence[Prepared]) -> dict[str, Ids]:
        """The tower's inputs for several texts, int64 (len(items), length) each, padded on the right: to the model's
        fixed length, or to the longest of them, rounded up to its step; and int64 (len(items),) numbers of adapters."""
        spec = self._spec
        length = (
            spec.max_length
            if spec.padding == "fixed"
            else tokens.rounded(max(item.size for item in items), spec.max_length)
        )
        ids, mask = tokens.padded([item.arrays[IDS] for item in items], length, spec.pad_id)
        arrays = {IDS: ids, MASK: mask, "token_type_ids": np.zeros_like(ids)}
        if ADAPTER in self._inputs:
            arrays[ADAPTER] = np.stack([item.arrays[ADAPTER] for item in items])
        return {name: arrays[name] for name in self._inputs}

    def tokenise(self, text: str, wanted: Wanted = Wanted()) -> list[Token]:
        """The text's tokens in its prompt, none of them cut off. Raises as `prepare` does."""
        prompt = prompts.chosen(self._spec.prompts, self._spec.default_prompt, wanted)
        encoding = self._encoded(text if prompt is None else _in_prompt(text, prompt, wanted.task))
        if wanted.special_tokens:
            encoding = self._tokenizer.post_process(encoding)
        specials = map(bool, encoding.special_tokens_mask)
        return [Token(*each) for each in zip(encoding.ids, encoding.tokens, specials, encoding.offsets, strict=True)]

    def detokenise(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """The text that the ids are the tokens of, as far as the tokenizer can tell. Raises `BadInput`."""
        return tokens.detokenise(self._tokenizer, ids, skip_special_tokens=skip_special_tokens)

    def _adapter(self, prompt: Prompt | None) -> dict[str, Ids]:
        if ADAPTER not in self._inputs:
            return {}
        number = NO_ADAPTER if prompt is None or prompt.adapter is None else prompt.adapter
        return {ADAPTER: np.array(number, dtype=np.int64)}

    def _ids(self, item: str, prompt: Prompt | None, length: int, wanted: Wanted) -> tuple[list[int], bool]:
        """At most `length` token ids of the text in its prompt, and whether there were more."""
        encoding = self._encoded(item if prompt is None else _in_prompt(item, prompt, wanted.task))
        specials = self._specials if wanted.special_tokens else 0
        is_long = len(encoding) + specials > length
        if is_long:
            tokens.refuse_if_wanted(len(encoding) + specials, length, wanted)
            encoding.truncate(length - specials, direction="left" if wanted.truncate == "start" else "right")
        return (self._tokenizer.post_process(encoding) if wanted.special_tokens else encoding).ids, is_long

    def _given_ids(self, item: Sequence[int], length: int, wanted: Wanted) -> tuple[Sequence[int], bool]:
        tokens.check_ids(self._tokenizer, item)
        is_long = len(item) > length
        if is_long:
            tokens.refuse_if_wanted(len(item), length, wanted)
            item = item[-length:] if wanted.truncate == "start" else item[:length]
        return item, is_long

    def _encoded(self, text: str) -> Encoding:
        """Without special tokens."""
        for step in self._clean:
            text = step(text)
        return tokens.encode(self._tokenizer, text)


def _in_prompt(text: str, prompt: Prompt, task: str | None) -> str:
    # In one pass: a text may hold "{task}", and a task "{text}".
    before, place, after = prompt.template.partition("{text}")
    said = prompts.task_of(prompt, task)
    before, after = before.replace("{task}", said), after.replace("{task}", said)
    return before + text + after if place else before + text
