"""The one door: from a model folder to an embedder. Server, parity, start-up check, benchmarks and library use it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multi2vec import manifest as manifests
from multi2vec.engine import precision
from multi2vec.engine.embedder import Embedder, Lane
from multi2vec.engine.encoder import Encoder, Execution
from multi2vec.engine.observer import Observer
from multi2vec.engine.precision import Choice
from multi2vec.engine.preparers import PREPARERS, Entry, Preparer
from multi2vec.engine.wanted import Wanted
from multi2vec.engine.work import Limits, Work
from multi2vec.manifest import Manifest, ManifestError
from multi2vec.specs import Modality

# The sizes of batches that precisions are compared at: single items matter where each is work enough for all threads.
COMPARED = (8,)
COMPARED_WIDE = (1, 4)


def open_model(
    folder: Path,
    execution: Execution = Execution(),
    work: Work = Work(),
    limits: Limits = Limits(),
    observer: Observer = Observer(),
    *,
    manifest: Manifest | None = None,
    verify_checksums: bool = True,
) -> Embedder:
    """Compile a model folder's towers, and verify its files beside. Blocks for a second or so.

    `manifest` is the folder's own, already read and perhaps changed. Raises `ManifestError` for a folder that cannot be
    used and `DeviceError` for a device that is not there. Whether this machine's vectors are the original's is for
    `proof.prove` to say.
    """
    manifest = manifest or manifests.read(folder)
    if unknown := [each for each in manifest.modalities if each not in PREPARERS]:
        raise ManifestError(f"{folder} takes inputs of the modality {unknown[0]!r}, which this version cannot prepare")
    with ThreadPoolExecutor(1, "verify") as beside:
        verified = beside.submit(manifests.verify_files, folder, manifest, checksums=verify_checksums)
        try:
            plans = _plans(folder, manifest, execution, limits, lambda: wait([verified]))
            encoders = _compile(folder, manifest, plans)
        finally:
            # A damaged file is reported first: it explains the rest.
            verified.result()
    return _embedder(manifest, plans, encoders, execution, work, observer)


@dataclass(frozen=True)
class _Plan:
    """What is known of a modality before its tower is compiled."""

    preparer: Preparer[Any]
    execution: Execution
    choice: Choice


def _plans(
    folder: Path, manifest: Manifest, execution: Execution, limits: Limits, until_quiet: Callable[[], object]
) -> dict[Modality, _Plan]:
    allowed = precision.candidates(execution, bf16_is_measured=manifest.measured_in("bf16"))
    plans: dict[Modality, _Plan] = {}
    for modality, spec in manifest.inputs.items():
        entry = PREPARERS[modality]
        preparer = entry.make(folder, spec, manifest.tower(modality), limits)
        how = execution.for_wide_items() if entry.wide else execution
        choice = _choice(folder, manifest, modality, how, allowed, preparer, until_quiet)
        plans[modality] = _Plan(preparer, how, choice)
    return plans


def _compile(folder: Path, manifest: Manifest, plans: Mapping[Modality, _Plan]) -> dict[Modality, Encoder]:
    def encoder(modality: Modality) -> Encoder:
        plan = plans[modality]
        return Encoder(folder, manifest.tower(modality), plan.execution, plan.choice.precision)

    # Side by side: compiling a tower keeps one core busy.
    with ThreadPoolExecutor(len(plans), "compile") as pool:
        return dict(zip(plans, pool.map(encoder, plans), strict=True))


def _embedder(
    manifest: Manifest,
    plans: Mapping[Modality, _Plan],
    encoders: Mapping[Modality, Encoder],
    execution: Execution,
    work: Work,
    observer: Observer,
) -> Embedder:
    pool = ThreadPoolExecutor(work.prepare_threads or execution.cpu_threads, thread_name_prefix="prepare")
    lanes = {
        modality: Lane(
            manifest,
            modality,
            plan.preparer,
            encoders[modality],
            choice=plan.choice,
            pool=pool,
            budget=work.budgets.get(modality, PREPARERS[modality].budget),
            admission=work.admission,
            observer=observer.lane(modality),
        )
        for modality, plan in plans.items()
    }
    return Embedder(manifest, lanes, pool)


def _choice(
    folder: Path,
    manifest: Manifest,
    modality: Modality,
    execution: Execution,
    allowed: tuple[str, ...],
    preparer: Preparer[Any],
    until_quiet: Callable[[], object],
) -> Choice:
    examples = manifest.examples_of(modality)
    if len(allowed) == 1 or not examples:
        return Choice(allowed[0])
    file = folder / manifest.tower(modality).file

    def measured() -> Choice:
        item = preparer.prepare(examples[0].content, Wanted())
        batches = _compared(PREPARERS[modality], item.size)
        inputs = {batch: preparer.collate([item] * batch) for batch in batches}
        trials = precision.trials(file, execution, allowed, inputs)
        until_quiet()
        return precision.choose(trials, batches)

    return precision.remembered(execution.cache, file, execution, allowed, measured)


def _compared(entry: Entry, size: int) -> tuple[int, ...]:
    """The sizes of batches that precisions are compared at, for items of that size: those that are ever formed."""
    first, *others = COMPARED_WIDE if entry.wide else COMPARED
    most = entry.budget.padded
    return (first, *(each for each in others if most is None or each * size <= most))
