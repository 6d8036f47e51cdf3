"""Items of texts, pictures and videos, in any order: one row of tokens, with places for the rows that another tower
makes of the pictures.

A text or a picture alone goes the same way, so that it has the same vector however it was sent.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from multi2vec.engine.errors import BadInput, Unsupported
from multi2vec.engine.items import Fused, Item
from multi2vec.engine.preparers import mrope, prompts, templates, tokens
from multi2vec.engine.preparers.protocol import ROWS, Prepared, Preparer
from multi2vec.engine.preparers.shown import Showing, Shown
from multi2vec.engine.preparers.templates import Element, Place, Span, Special, Writer
from multi2vec.engine.preparers.tokens import IDS, MASK, Text, Token
from multi2vec.engine.rows import Array
from multi2vec.engine.wanted import Wanted
from multi2vec.engine.work import Limits
from multi2vec.specs import VIDEO, FusedSpec, Modality, Prompt, TowerSpec

INDEX, POSITIONS = "index", "position_ids"
# OpenVINO prepares kernels for each new shape: lengths are rounded up to this. Longer steps, as texts alone have them,
# would cost more than the kernels here: a token takes gigaflops.
LENGTH_STEP = 8
# A text of this many characters is tokenised in about 0.3 ms.
QUICK_CHARACTERS = 1000


def written(item: Fused) -> str:
    """The item as it stands in a manifest: JSON, files in base64."""
    return json.dumps([[piece.modality, _text(piece.content)] for piece in item], ensure_ascii=False)


def _text(content: Any) -> Any:
    if isinstance(content, bytes):
        return base64.b64encode(content).decode()
    return content if isinstance(content, str) else [_text(each) for each in content]


def read(content: str) -> Fused:
    """What `written` wrote."""
    return tuple(Item(kind, given if kind == "text" else _files(given)) for kind, given in json.loads(content))


def _files(given: Any) -> Any:
    return base64.b64decode(given) if isinstance(given, str) else tuple(map(_files, given))


def pieces_of(modality: Modality, item: Any) -> Fused:
    """The pieces of an item of that modality: one, unless it is fused."""
    if modality != "fused":
        return (Item(modality, item),)
    return read(item) if isinstance(item, str) else tuple(item)


class FusedPreparer:
    """Turns items into what the two towers of a fused model take."""

    def __init__(self, folder: Path, spec: FusedSpec, tower: TowerSpec, limits: Limits = Limits()) -> None:
        self._spec = spec
        self._width = next(int(each.shape[-1] or 0) for each in tower.inputs if each.name == ROWS)
        self._tokenizer = Tokenizer.from_file(str(folder / spec.tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        # What a caller writes holds no special tokens; those of templates are found by `templates.parse`.
        self._tokenizer.encode_special_tokens = True
        added = self._tokenizer.get_added_tokens_decoder()
        self._special = {token.content: number for number, token in added.items() if token.special}
        every = [*spec.prompts.values(), spec.without_prompt, spec.without_text, spec.with_picture]
        self._elements = {each.template: templates.parse(each.template, self._special) for each in every if each}
        self._around = tuple(templates.parse(text, self._special) for text in (spec.before, spec.after))
        self.showing = Showing(spec, self._special, limits)
        self._black = self.showing.square(spec.without_picture) if spec.without_picture else None

    def is_quick(self, item: Fused) -> bool:
        """Whether it is one short text."""
        return all(piece.modality == "text" for piece in item) and (
            sum(len(piece.content) for piece in item) <= QUICK_CHARACTERS
        )

    def prepare(self, item: Fused, wanted: Wanted = Wanted()) -> Prepared:
        """The row of tokens: ids and `index`, int64 (length,), which is 0 for a text's token and else the number of the
        picture's row, from 1 on; int64 (3, length) positions where the tower takes them. `parts` are the pictures.

        A row longer than the model takes, or than wanted, loses the end or start of its texts, or is refused. Raises
        `BadInput` for a picture or text that cannot be used and for pictures that leave no room, `Unsupported` for a
        prompt that is not there.
        """
        if not wanted.special_tokens:
            raise Unsupported("the model's prompts have special tokens; add_special_tokens cannot be false")
        prompt = self._prompt(item, wanted)
        if Place("pictures") in self._elements[prompt.template]:
            item = sorted(item, key=lambda piece: piece.modality != VIDEO)
        given = [self.showing.shown(piece) for piece in item if piece.modality != "text"]
        shown = given or ([self._black] if self._black else [])
        spans = self._written(item, shown, prompt, wanted.task)
        spans, is_long = self._cut(spans, wanted)
        length = templates.length(spans)
        return Prepared(
            {IDS: np.concatenate([span.ids for span in spans]), INDEX: _index(spans), **self._positions(spans)},
            size=length,
            tokens=length,
            truncated=is_long,
            file=given[0].file if len(given) == 1 else None,
            parts=[part for each in shown for part in each.parts],
        )

    def collate(self, items: Sequence[Prepared]) -> dict[str, Array]:
        """The language tower's inputs: int64 (len(items), length) ids, mask and index, padded on the right; float32
        (rows + 1, width) rows of all pictures, one after another behind a row of zeros; and int64 (len(items), 3,
        length) positions where the tower takes them."""
        length = min(self._spec.max_length, -(-max(item.size for item in items) // LENGTH_STEP) * LENGTH_STEP)
        ids, mask = tokens.padded([item.arrays[IDS] for item in items], length, self._spec.pad_id)
        rows = [item.arrays[ROWS] for item in items if ROWS in item.arrays]
        before = np.cumsum([0, *(len(item.arrays.get(ROWS, ())) for item in items)])
        shifted = [_shifted(item.arrays[INDEX], start) for item, start in zip(items, before[:-1], strict=True)]
        index, _ = tokens.padded(shifted, length, 0)
        arrays: dict[str, Array] = {IDS: ids, MASK: mask, ROWS: self._behind_zeros(rows), INDEX: index}
        if self._spec.positions != "own":
            arrays[POSITIONS] = np.stack([_padded_positions(item.arrays[POSITIONS], length) for item in items])
        return arrays

    def tokenise(self, text: str, wanted: Wanted = Wanted()) -> list[Token]:
        """The text's tokens in its prompt, none of them cut off. Raises as `prepare` does."""
        item = (Item("text", text),)
        shown = [self._black] if self._black else []
        spans = self._written(item, shown, self._prompt(item, wanted), wanted.task)
        return [token for span in spans for token in self._tokens(span)]

    def detokenise(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """The text that the ids are the tokens of, as far as the tokenizer can tell. Raises `BadInput`."""
        return tokens.detokenise(self._tokenizer, ids, skip_special_tokens=skip_special_tokens)

    def _tokens(self, span: Span) -> list[Token]:
        names = [str(self._tokenizer.id_to_token(number)) for number in span.ids.tolist()]
        places = span.places or [(0, 0)] * len(names)
        return [
            Token(number, name, name in self._special, place)
            for number, name, place in zip(span.ids.tolist(), names, places, strict=True)
        ]

    def _prompt(self, item: Fused, wanted: Wanted) -> Prompt:
        spec = self._spec
        if spec.without_prompt is None and not wanted.prompt:
            wanted = replace(wanted, prompt=None)
        found = prompts.chosen(spec.prompts, spec.default_prompt, wanted) or spec.without_prompt
        assert found is not None
        kinds = {piece.modality for piece in item}
        if not kinds - {"text"}:
            return found
        return (spec.with_picture if "text" in kinds else spec.without_text) or found

    def _written(self, item: Fused, shown: Sequence[Shown], prompt: Prompt, task: str | None) -> list[Span]:
        """The whole row."""
        writer = Writer(lambda text: tokens.encode(self._tokenizer, text))
        elements = self._elements[prompt.template]
        within: Fused = item or (Item("text", self._spec.nothing),)
        if Place("pictures") in elements:
            within = tuple(piece for piece in within if piece.modality == "text")
        for element in elements:
            if element == Place("task"):
                writer.say(prompts.task_of(prompt, task))
            elif element == Place("pictures"):
                self._show(shown, writer)
            elif element == Place("text"):
                self._fill(within, shown, writer)
            else:
                _write(element, writer)
        writer.end_text()
        return writer.spans

    def _fill(self, item: Fused, shown: Sequence[Shown], writer: Writer) -> None:
        """The pieces in their order; texts beside each other are lines."""
        waiting, before = list(shown), ""
        for piece in item:
            if piece.modality == "text":
                writer.quote(self._spec.between_texts if before == "text" else "")
                self._quote(piece.content, writer)
            else:
                self._show([waiting.pop(0)], writer)
            before = piece.modality

    def _quote(self, text: Text, writer: Writer) -> None:
        if isinstance(text, str):
            writer.quote(text)
            return
        tokens.check_ids(self._tokenizer, text)
        if special := next((name for name, number in self._special.items() if number in text), None):
            raise BadInput(f"the token ids hold the special token {special}, which only the model's prompts may use")
        writer.quote_ids(text)

    def _show(self, shown: Sequence[Shown], writer: Writer) -> None:
        before, after = self._around
        for place, words, laid in ((each.place, *one) for each in shown for one in each.laid):
            writer.say(words)
            for element in before:
                _write(element, writer)
            writer.picture(place, laid.rows, laid.grid)
            for element in after:
                _write(element, writer)

    def _cut(self, spans: list[Span], wanted: Wanted) -> tuple[list[Span], bool]:
        """The spans as far as there is room, and whether there were more."""
        whole = templates.length(spans)
        fixed = whole - sum(int(span.may_go.sum()) for span in spans)
        most = tokens.allowed_length(wanted, self._spec.max_length, 0)
        if whole <= most:
            return spans, False
        if fixed > most:
            raise BadInput(
                f"the pictures and the prompt take {fixed} tokens, more than {most}; send fewer or smaller pictures"
            )
        tokens.refuse_if_wanted(whole, most, wanted)
        return templates.shortened(spans, whole - most, from_start=wanted.truncate == "start"), True

    def _positions(self, spans: Sequence[Span]) -> Mapping[str, Array]:
        if self._spec.positions == "own":
            return {}
        if self._spec.positions == "line":
            return {POSITIONS: mrope.line(templates.length(spans))}
        return {POSITIONS: mrope.grid([span.grid or len(span.ids) for span in spans])}

    def _behind_zeros(self, rows: Sequence[Array]) -> Array:
        return np.concatenate([np.zeros((1, self._width), dtype=np.float32), *rows])


class As:
    """The preparer of one modality of a fused model: each item is a fused one of one piece."""

    def __init__(self, fused: FusedPreparer, modality: Modality) -> None:
        self.fused, self.modality, self.pieces = fused, modality, partial(pieces_of, modality)
        self.collate = fused.collate
        self.tokenise, self.detokenise = fused.tokenise, fused.detokenise

    def is_quick(self, item: Any) -> bool:
        """Whether it is a short text."""
        return self.fused.is_quick(self.pieces(item))

    def prepare(self, item: Any, wanted: Wanted = Wanted()) -> Prepared:
        """The item alone, as `FusedPreparer.prepare` has it."""
        return self.fused.prepare(self.pieces(item), wanted)


def _write(element: Element, writer: Writer) -> None:
    if isinstance(element, Special):
        writer.special(element.id)
    elif isinstance(element, str):
        writer.say(element)


def _index(spans: Sequence[Span]) -> Array:
    """int64 (length,): the number of each picture's row, from 1 on, and 0 for all other tokens."""
    is_row = np.concatenate([np.full(len(span.ids), span.is_picture) for span in spans])
    return np.where(is_row, np.cumsum(is_row), 0).astype(np.int64)


def _shifted(index: Array, rows: int) -> Array:
    """Behind so many rows of items before."""
    return np.where(index > 0, index + rows, 0)


def _padded_positions(positions: Array, length: int) -> Array:
    return np.pad(positions, ((0, 0), (0, length - positions.shape[1])))


def fused_preparers(
    folder: Path, spec: FusedSpec, tower: TowerSpec, limits: Limits = Limits()
) -> dict[Modality, Preparer[Any]]:
    """The preparers of all modalities of a fused model."""
    fused = FusedPreparer(folder, spec, tower, limits)
    return {modality: As(fused, modality) for modality in spec.modalities}
