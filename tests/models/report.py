"""Writes docs/models.md: `python -m tests.models.report`. From the recipes, and from what was measured here.

What was measured stands in docs/models.json, which tests/models writes; figures that others published stand in recipes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from images import builds
from multi2vec.convert import catalogue
from multi2vec.convert import recipe as recipes
from multi2vec.convert.recipe import Published, Recipe

ROOT = Path(__file__).parents[2]
RECORDS = ROOT / "docs" / "models.json"
PAGE = ROOT / "docs" / "models.md"

INTRODUCTION = """\
# Choosing a model

*Written by `python -m tests.models.report`.*

Begin with what cannot be mended later: the languages of your texts, whether you have pictures, how long the texts are,
and the licence (all in the [README's table](../README.md#models)). Of the models that remain, compare the published
figures of the benchmark that is nearest to your use: finding pictures by words is COCO, telling kinds of things apart
is ImageNet, finding texts is MTEB's retrieval or its mean. Then take the best one that is fast enough on your machine:
what each costs stands below. Vectors of different models cannot be compared, so a change means to import everything
again.

## Published figures

As their authors or others published them, for the original library; none was measured here. In per cent; figures of
different columns do not compare. The converted models give the same vectors to within the parity that is stated below.
"""

COSTS = """\
## What each costs

Converted here, at real size but with random weights, which changes neither time nor memory nor size: the weights cannot
be had where this is measured. `smallest cosine` is that of any sample to the original library's vector, with float32
and with bfloat16 arithmetic. Speed is that of the model in one process without HTTP: items one at a time, and all of a
few in one call. Peak memory is that of the conversion without the pages of mapped files, which the system drops when it
needs them. `published` repeats the figures from above.
"""

LARGE = """\
**Large models.** A checkpoint in 16 bits is mapped, not copied, so that a conversion needs about 1 GB for the libraries
and as much as the converted model needs when it runs: in int8 a byte for each parameter, in fp16 four (two where all
arithmetic is bfloat16, but parity is measured in float32, too), and some hundred megabytes for texts of 2,048 tokens,
the longest whose vectors are compared. That was measured for 0.6, 4 and 8 billion parameters, above: a checkpoint of
15.1 GB was converted to int8 with 8.9 GB (beside other work on the same two cores, so that it is faster elsewhere).
Reckoned from it are, in fp16, 30 GB for 7 billion, so `--weights int8` on smaller machines. The checkpoint itself has
to fit on the disk, beside the model.

**Large fused models.** `Qwen3-VL-Embedding-2B`, above, has 2.13 billion parameters, and a checkpoint of 4.26 GB in
bfloat16. Its conversion had most memory while samples were compared in float32, of which the largest picture has 1,800
tokens: 8.5 GB for weights, 6.1 GB for it and the libraries. Most of its time is that of the same samples, which the
original and both arithmetics need. Reckoned from that are, with `--weights int8`, 10 GB for `VLM2Vec-Full` (4.15
billion), and 14 GB for `Qwen3-VL-Embedding-8B` and `gme-Qwen2-VL-7B-Instruct` (8.15 and 8.29 billion; the checkpoint of
the latter is in float32 and takes 33 GB of disk); in fp16 22 and 39 GB.

**Long texts.** `tests/models/test_long_texts.py` measures a small model. Over 10,000 requests with texts of 1 to 8,192
tokens, as many between 10 and 100 as between 100 and 1,000, its memory stayed at 270 MB from the first thousand on. One
text of 32,768 tokens needed 4.4 GB, most of it for the mask that says which tokens see which, whatever the model's
size; 64 short texts that came right after it were answered within 0.2 s, it took 31 s. With one stream
(`STREAMS=1`) they would have waited for it.
"""


def page(records: Sequence[Mapping[str, Any]], read: Sequence[Recipe]) -> str:
    """The whole page."""
    parts = [INTRODUCTION, *_published(read)]
    if records:
        parts += [COSTS, "\n".join(_costs(records, read)) + "\n", *_machines(records), LARGE]
    return "\n".join(parts)


def _published(read: Sequence[Recipe]) -> Iterator[str]:
    """A table for each combination of inputs, with a column for each benchmark."""
    known = [each for each in read if each.published is not None]
    for kind in dict.fromkeys([*catalogue.HEADINGS, *(each.modalities or () for each in known)]):
        chosen = [each for each in known if (each.modalities or ()) == kind]
        if chosen:
            yield f"### {catalogue.heading(kind)}\n"
            yield "\n".join(_figures(chosen)) + "\n"


def _figures(chosen: Sequence[Recipe]) -> Iterator[str]:
    tables = {each.tag: each.published.figures for each in chosen if each.published}
    names = list(dict.fromkeys(name for figures in tables.values() for name in figures))
    sources = list(dict.fromkeys(each.published.source for each in chosen if each.published))
    yield _row(["model", *names, "source"])
    yield _row(["---", *["---:"] * len(names), "---"])
    for each in chosen:
        if each.published:
            cells = [f"{tables[each.tag][name]:g}" if name in tables[each.tag] else "" for name in names]
            yield _row([f"`{each.tag}`", *cells, str(sources.index(each.published.source) + 1)])
    yield ""
    yield "Sources:"
    yield ""
    yield from (f"{number}. {source}" for number, source in enumerate(sources, 1))


def _costs(records: Iterable[Mapping[str, Any]], read: Sequence[Recipe]) -> Iterator[str]:
    published = {each.tag: _beside(each.published) for each in read if each.published}
    columns = ["model", "weights", "folder, MB", "smallest cosine, f32", "bf16", "texts/s", "pictures/s",
               "conversion, s", "peak memory, GB", "published"]  # fmt: skip
    yield _row(columns)
    yield _row(["---", "---", *["---:"] * (len(columns) - 3), "---"])
    for each in records:
        parity, speed = each["parity"], each["speed"]
        yield _row(
            [
                f"`{each['tag']}`",
                each["weights"],
                f"{each['folder_bytes'] / 1e6:,.0f}",
                builds.worst(parity["f32"], "smallest_cosine"),
                builds.worst(parity["bf16"], "smallest_cosine"),
                _rates(speed.get("text")),
                _rates(speed.get("image")),
                f"{each['conversion_seconds']:,.0f}",
                f"{each['peak_bytes'] / 1e9:.1f}",
                published.get(each["tag"], ""),
            ]
        )


def _beside(published: Published) -> str:
    """The figures in one cell."""
    return "; ".join(f"{name} {figure:g}" for name, figure in published.figures.items())


def _machines(records: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """What it was measured on."""
    found = dict.fromkeys((each["cpu"], each["threads"]) for each in records)
    yield "Measured on " + "; ".join(f"{cpu}, {threads} threads" for cpu, threads in found) + ".\n"


def _rates(speed: Mapping[str, float] | None) -> str:
    """Items per second, one at a time and together."""
    return f"{speed['alone']:g}, {speed['together']:g}" if speed else ""


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def current() -> str:
    """The page as it should be now."""
    records = json.loads(RECORDS.read_text(encoding="utf-8")) if RECORDS.is_file() else []
    return page(records, [recipes.read(tag) for tag in recipes.tags()])


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(current(), encoding="utf-8")
