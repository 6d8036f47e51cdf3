"""How well documents fit queries: scores out of the vectors of both, for every API that scores or reranks.

Which vectors are compared, and how, follows from what the model's towers give:

* Two items of one modality, or any two of a model with one vector for each: the cosine of their dense vectors.
* Items of two modalities, of which one tower also gives a fixed number of vectors per item (BLIP-2's of a picture): the
  largest cosine of any of these with the other item's dense vector. That is such a model's own score.
* Items without dense vectors, with vectors of their tokens: ColBERT's late interaction.
* An output that the caller names: the cosine or late interaction of these vectors.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from multi2vec.engine import similarity
from multi2vec.engine.errors import Unsupported
from multi2vec.engine.items import Item
from multi2vec.engine.rows import Row, Vectors
from multi2vec.engine.wanted import Embedded, Spent, Wanted
from multi2vec.manifest import Manifest
from multi2vec.serve import items, roles
from multi2vec.serve.errors import BadRequest
from multi2vec.serve.service import Service
from multi2vec.specs import DENSE, Kind, Modality, OutputSpec, word

SideName = Literal["queries", "documents"]
# Of each pair of rows, one of a query and one of a document: float32 (pairs,).
Measure = Callable[[Sequence[Any], Sequence[Any]], Vectors]


@dataclass(frozen=True)
class Side:
    """The queries or the documents. Of `wanted`, the output and whether vectors are normalised are decided here."""

    items: Sequence[Item]
    wanted: Wanted


@dataclass(frozen=True)
class Scores:
    """One number per pair, the larger the better; the tokens of all queries and documents, each counted once; and where
    the time of each vector went."""

    values: list[float]
    tokens: int
    spent: Sequence[Spent]


@dataclass(frozen=True)
class Comparison:
    """Which output of a query is compared with which output of a document, and how."""

    query: str
    document: str
    measure: Measure


def side(manifest: Manifest, given: Sequence[Item], role: roles.Role, wanted: Wanted = Wanted()) -> Side:
    """The items with the model's prompt for their role."""
    return Side(given, replace(wanted, prompt=roles.prompt_for(manifest, role)))


async def score(service: Service, queries: Side, documents: Side, output: str | None = None) -> Scores:
    """The scores of the pairs: one query with each document, or each query with the document at its place.

    `output` names the vectors that are compared; None leaves that to the model. Raises `BadRequest` unless there is one
    query or as many as documents, `Unsupported` for items that cannot be compared, and what `items.embed` does.
    """
    count = len(documents.items)
    if len(queries.items) not in (1, count):
        raise BadRequest(
            f"there are {len(queries.items)} queries and {count} documents; there is one query for all documents, or "
            "one for each"
        )
    items.check_count(len(queries.items) + count, service.settings.max_items)
    pairs = [(0 if len(queries.items) == 1 else place, place) for place in range(count)]
    how = [
        compared(service.manifest, queries.items[first].modality, documents.items[second].modality, output)
        for first, second in pairs
    ]
    rows, tokens, spent = await _embedded(service, {"queries": queries, "documents": documents}, pairs, how)
    return Scores(await asyncio.to_thread(_measured, rows, pairs, how), tokens, spent)


def best_first(values: Sequence[float]) -> list[int]:
    """The places of the scores, from the largest on; of equal ones the first comes first."""
    return sorted(range(len(values)), key=lambda place: -values[place])


def item(given: Any, manifest: Manifest, where: str) -> Item:
    """What a query or document is: a text, a picture's data URI, an object with `text`, with `content` (a text or parts
    as chat APIs have them), or such a part itself. Raises `BadRequest`, and `Unsupported` for what is no single
    modality."""
    if isinstance(given, str):
        return items.string(given, manifest)
    if isinstance(given, dict):
        if "content" in given:
            return items.parts(given["content"], manifest, f"{where}.content")
        if "type" in given:
            return items.parts([given], manifest, where)
        if isinstance(given.get("text"), str):
            return items.text(given["text"])
    raise BadRequest(f'{where} is neither a text nor an object like {{"text": "…"}} or {{"content": [parts]}}')


def compared(manifest: Manifest, query: Modality, document: Modality, output: str | None = None) -> Comparison:
    """How a query of one modality is compared with a document of another. Raises `Unsupported`."""
    first, second = _outputs(manifest, query), _outputs(manifest, document)
    if output is not None:
        return _by_name(manifest, output, first.get(output), second.get(output))
    if query != document:
        if DENSE in first and (fixed := _fixed(second)):
            return Comparison(DENSE, fixed, _largest_cosines)
        if DENSE in second and (fixed := _fixed(first)):
            return Comparison(fixed, DENSE, _largest_cosines)
    if DENSE in first and DENSE in second:
        return Comparison(DENSE, DENSE, _cosines)
    tokens = _named(first, "tokens"), _named(second, "tokens")
    if tokens[0] and tokens[1]:
        return Comparison(tokens[0], tokens[1], _max_sims)
    raise Unsupported(
        f"{manifest.tag} gives no vectors by which a {word(query)} and a {word(document)} can be compared"
    )


def _outputs(manifest: Manifest, modality: Modality) -> Mapping[str, OutputSpec]:
    """The tower's outputs by name. Of a modality without tower there are none; that is told when it is embedded."""
    if modality not in manifest.inputs:
        return {DENSE: OutputSpec(DENSE, manifest.dimensions)}
    return {output.name: output for output in manifest.tower(modality).outputs}


def _fixed(outputs: Mapping[str, OutputSpec]) -> str | None:
    return next((each.name for each in outputs.values() if each.kind == "tokens" and each.vectors is not None), None)


def _named(outputs: Mapping[str, OutputSpec], kind: Kind) -> str | None:
    return next((each.name for each in outputs.values() if each.kind == kind), None)


def _by_name(manifest: Manifest, output: str, first: OutputSpec | None, second: OutputSpec | None) -> Comparison:
    kinds = {None if each is None else each.kind for each in (first, second)}
    for kind, measure in MEASURES.items():
        if kinds == {kind}:
            return Comparison(output, output, measure)
    towers = manifest.towers.values()
    names = dict.fromkeys(each.name for tower in towers for each in tower.outputs if each.kind in MEASURES)
    raise Unsupported(
        f"{manifest.tag} has no output {output!r} of both query and document that can be compared; its outputs of "
        f"vectors are: {', '.join(names)}"
    )


def _cosines(queries: Sequence[Any], documents: Sequence[Any]) -> Vectors:
    return similarity.cosines(np.stack(queries), np.stack(documents))


def _largest_cosines(queries: Sequence[Any], documents: Sequence[Any]) -> Vectors:
    pairs = zip(queries, documents, strict=True)
    return np.array([similarity.largest_cosine(*pair) for pair in pairs], dtype=np.float32)


def _max_sims(queries: Sequence[Any], documents: Sequence[Any]) -> Vectors:
    pairs = zip(queries, documents, strict=True)
    return np.array([similarity.max_sim(*pair) for pair in pairs], dtype=np.float32)


MEASURES: Mapping[Kind, Measure] = {"dense": _cosines, "tokens": _max_sims}

# By side, output and place among the side's items.
Rows = Mapping[tuple[SideName, str, int], Row]


async def _embedded(
    service: Service,
    sides: Mapping[SideName, Side],
    pairs: Sequence[tuple[int, int]],
    how: Sequence[Comparison],
) -> tuple[Rows, int, Sequence[Spent]]:
    """The rows that the comparisons take, how many tokens all items are, and where the time went."""
    needed: dict[tuple[SideName, str], dict[int, None]] = {}
    for (first, second), comparison in zip(pairs, how, strict=True):
        needed.setdefault(("queries", comparison.query), {})[first] = None
        needed.setdefault(("documents", comparison.document), {})[second] = None
    # What fits one query is asked by somebody who searches; pairs that belong together are counted or filtered.
    is_search = len(sides["queries"].items) == 1
    found = await _together(
        [
            _embed(service, sides[name].items, [*own], replace(sides[name].wanted, output=output, is_search=is_search))
            for (name, output), own in needed.items()
        ]
    )
    rows: dict[tuple[SideName, str, int], Row] = {}
    tokens: dict[tuple[SideName, int], int] = {}
    for ((name, output), own), embedded in zip(needed.items(), found, strict=True):
        for place, row, count in zip(own, embedded.rows, embedded.tokens, strict=True):
            rows[name, output, place], tokens[name, place] = row, count
    return rows, sum(tokens.values()), [spent for embedded in found for spent in embedded.spent]


async def _embed(service: Service, given: Sequence[Item], places: Sequence[int], wanted: Wanted) -> Embedded:
    return await items.embed(service, [given[place] for place in places], replace(wanted, normalise=True))


async def _together(calls: Sequence[Coroutine[Any, Any, Embedded]]) -> Sequence[Embedded]:
    """Side by side, so that queries and documents share batches; the first error ends the others."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _measured(rows: Rows, pairs: Sequence[tuple[int, int]], how: Sequence[Comparison]) -> list[float]:
    values = np.zeros(len(pairs), dtype=np.float32)
    for comparison in dict.fromkeys(how):
        own = [place for place, each in enumerate(how) if each == comparison]
        first = [rows["queries", comparison.query, pairs[place][0]] for place in own]
        second = [rows["documents", comparison.document, pairs[place][1]] for place in own]
        values[own] = comparison.measure(first, second)
    return [float(value) for value in values]
