"""Texts: from a string to token ids, and from several of them to a tower's inputs.

The steps before the tokenizer (`TextSpec.clean`) are the original library's, in its order; `tokenizer.json` does the
rest. A test holds the ids against the original tokenizers on strings that are hard.
"""

from __future__ import annotations

import html
import json
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ftfy
import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer

from multi2vec.engine.errors import BadInput, Unsupported
from multi2vec.engine.preparers.protocol import Prepared
from multi2vec.engine.wanted import Wanted
from multi2vec.engine.work import Limits
from multi2vec.specs import Prompt, TextSpec, TowerSpec

Ids = npt.NDArray[np.int64]
# The text itself, or the ids of its tokens.
Text = str | Sequence[int]

# OpenVINO prepares its kernels for each new shape and keeps them: fewer lengths cost less time and memory than the
# padding that they add. So lengths are rounded up to steps, by the number of tokens: longer steps for longer texts.
LENGTH_STEPS = ((128, 8), (512, 32), (2048, 128), (8192, 512))
LONGEST_STEP = 2048

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

IDS = "input_ids"
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


@dataclass(frozen=True)
class Token:
    """One token; `place` is where its characters begin and end in the cleaned text in its prompt, (0, 0) for a special
    token."""

    id: int
    text: str
    is_special: bool
    place: tuple[int, int]


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
        length = self._allowed_length(wanted)
        prompt = self._prompt(wanted)
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
        length = spec.max_length if spec.padding == "fixed" else self._rounded(max(item.size for item in items))
        ids = np.full((len(items), length), spec.pad_id, dtype=np.int64)
        mask = np.zeros((len(items), length), dtype=np.int64)
        for row, item in enumerate(items):
            own = item.arrays[IDS]
            ids[row, : len(own)] = own
            mask[row, : len(own)] = 1
        arrays = {IDS: ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        if ADAPTER in self._inputs:
            arrays[ADAPTER] = np.stack([item.arrays[ADAPTER] for item in items])
        return {name: arrays[name] for name in self._inputs}

    def tokenise(self, text: str, wanted: Wanted = Wanted()) -> list[Token]:
        """The text's tokens in its prompt, none of them cut off. Raises as `prepare` does."""
        prompt = self._prompt(wanted)
        encoding = self._encoded(text if prompt is None else _in_prompt(text, prompt, wanted.task))
        if wanted.special_tokens:
            encoding = self._tokenizer.post_process(encoding)
        specials = map(bool, encoding.special_tokens_mask)
        return [Token(*each) for each in zip(encoding.ids, encoding.tokens, specials, encoding.offsets, strict=True)]

    def detokenise(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """The text that the ids are the tokens of, as far as the tokenizer can tell. Raises `BadInput`."""
        self._check_ids(ids)
        text = str(self._tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens))
        # CLIP's vocabulary marks ends of words, which its tokenizer's decoder knows nothing of.
        end_of_word = getattr(self._tokenizer.model, "end_of_word_suffix", None)
        return text.replace(end_of_word, " ").strip() if end_of_word else text

    def _adapter(self, prompt: Prompt | None) -> dict[str, Ids]:
        if ADAPTER not in self._inputs:
            return {}
        number = NO_ADAPTER if prompt is None or prompt.adapter is None else prompt.adapter
        return {ADAPTER: np.array(number, dtype=np.int64)}

    def _rounded(self, length: int) -> int:
        # Without special tokens an empty text has none at all, which no tower takes.
        length = max(length, 1)
        step = next((step for longest, step in LENGTH_STEPS if length <= longest), LONGEST_STEP)
        return max(length, min(self._spec.max_length, -(-length // step) * step))

    def _allowed_length(self, wanted: Wanted) -> int:
        most = self._spec.max_length
        if wanted.max_tokens is None:
            return most
        if not self._specials < wanted.max_tokens <= most:
            raise Unsupported(f"max_tokens is {wanted.max_tokens}; it can be from {self._specials + 1} to {most}")
        return wanted.max_tokens

    def _ids(self, item: str, prompt: Prompt | None, length: int, wanted: Wanted) -> tuple[list[int], bool]:
        """At most `length` token ids of the text in its prompt, and whether there were more."""
        encoding = self._encoded(item if prompt is None else _in_prompt(item, prompt, wanted.task))
        specials = self._specials if wanted.special_tokens else 0
        is_long = len(encoding) + specials > length
        if is_long:
            _refuse_if_wanted(len(encoding) + specials, length, wanted)
            encoding.truncate(length - specials, direction="left" if wanted.truncate == "start" else "right")
        return (self._tokenizer.post_process(encoding) if wanted.special_tokens else encoding).ids, is_long

    def _given_ids(self, item: Sequence[int], length: int, wanted: Wanted) -> tuple[Sequence[int], bool]:
        self._check_ids(item)
        is_long = len(item) > length
        if is_long:
            _refuse_if_wanted(len(item), length, wanted)
            item = item[-length:] if wanted.truncate == "start" else item[:length]
        return item, is_long

    def _check_ids(self, ids: Sequence[int]) -> None:
        vocabulary = self._tokenizer.get_vocab_size()
        wrong = next((each for each in ids if not 0 <= each < vocabulary), None)
        if wrong is not None:
            raise BadInput(
                f"the token id {wrong} is not in this model's vocabulary of {vocabulary}; token ids must be those of "
                "the model's own tokenizer (langchain sends others unless check_embedding_ctx_length=False), so "
                "better send the text"
            )

    def _encoded(self, text: str) -> Encoding:
        """Without special tokens."""
        for step in self._clean:
            text = step(text)
        try:
            return self._tokenizer.encode(text, add_special_tokens=False)
        except TypeError:
            raise BadInput("a text is not valid Unicode: it holds half of a surrogate pair") from None

    def _prompt(self, wanted: Wanted) -> Prompt | None:
        """The prompt of the wanted name, or the default one, or the one that has a place for the wanted task."""
        prompts = self._spec.prompts
        name = self._spec.default_prompt if wanted.prompt is None else wanted.prompt
        if wanted.prompt is None and wanted.task is not None:
            name = self._prompt_with_task(name)
        if name is None or (not name and wanted.task is None):
            return None
        if name not in prompts:
            known = ", ".join(sorted(prompts)) or "none"
            raise Unsupported(f"the model has no prompt named {name!r}; it has: {known}")
        if wanted.task is not None and not prompts[name].takes_task:
            raise Unsupported(f"the prompt {name!r} has no place for a task")
        return prompts[name]

    def _prompt_with_task(self, default: str | None) -> str:
        with_task = [name for name, prompt in self._spec.prompts.items() if prompt.takes_task]
        if default in with_task:
            return str(default)
        if len(with_task) != 1:
            known = ", ".join(with_task) or "none"
            raise Unsupported(f"a task needs the name of a prompt that has a place for it; such prompts are: {known}")
        return with_task[0]


def _refuse_if_wanted(tokens: int, length: int, wanted: Wanted) -> None:
    if wanted.truncate == "refuse":
        raise BadInput(f"a text has {tokens} tokens, more than {length}; shorten it")


def _in_prompt(text: str, prompt: Prompt, task: str | None) -> str:
    # In one pass: a text may hold "{task}", and a task "{text}".
    before, place, after = prompt.template.partition("{text}")
    task = task if task is not None else prompt.task or ""
    before, after = before.replace("{task}", task), after.replace("{task}", task)
    return before + text + after if place else before + text
