"""The one door: from a model folder to an embedder. Server, parity, start-up check, benchmarks and library use it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from multi2vec import manifest as manifests
from multi2vec.engine import precision
from multi2vec.engine.embedder import Embedder, Lane
from multi2vec.engine.encoder import Encoder, Execution
from multi2vec.engine.observer import Observer
from multi2vec.engine.precision import Choice
from multi2vec.engine.preparers import PREPARERS, Preparer
from multi2vec.engine.wanted import Wanted
from multi2vec.engine.work import Limits, Work
from multi2vec.manifest import Manifest, ManifestError, Modality

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
            embedder = _compile(folder, manifest, execution, work, limits, observer)
        finally:
            # A damaged file is reported first: it explains the rest.
            verified.result()
    return embedder


def _compile(
    folder: Path, manifest: Manifest, execution: Execution, work: Work, limits: Limits, observer: Observer
) -> Embedder:
    allowed = precision.candidates(execution, bf16_is_measured=isinstance(manifest.parity.get("bf16"), Mapping))
    lanes: dict[Modality, Lane] = {}
    pool = ThreadPoolExecutor(work.prepare_threads or execution.cpu_threads, thread_name_prefix="prepare")
    for modality, spec in manifest.inputs.items():
        entry, tower = PREPARERS[modality], manifest.tower(modality)
        preparer = entry.make(folder, spec, tower, limits)
        how = execution.for_wide_items() if entry.wide else execution
        choice = _choice(folder, manifest, modality, how, allowed, preparer)
        lanes[modality] = Lane(
            manifest,
            modality,
            preparer,
            Encoder(folder, tower, how, choice.precision),
            choice=choice,
            pool=pool,
            budget=work.budgets.get(modality, entry.budget),
            admission=work.admission,
            observer=observer.lane(modality),
        )
    return Embedder(manifest, lanes, pool)


def _choice(
    folder: Path,
    manifest: Manifest,
    modality: Modality,
    execution: Execution,
    allowed: tuple[str, ...],
    preparer: Preparer[Any],
) -> Choice:
    contents = [example.content for example in manifest.examples if example.modality == modality]
    if len(allowed) == 1 or not contents:
        return Choice(allowed[0])
    file = folder / manifest.tower(modality).file

    def measured() -> Choice:
        item = preparer.prepare(contents[0], Wanted())
        batches = COMPARED_WIDE if PREPARERS[modality].wide else COMPARED
        inputs = {batch: preparer.collate([item] * batch) for batch in batches}
        return precision.choose(precision.trials(file, execution, allowed, inputs), batches)

    return precision.remembered(execution.cache, file, execution, measured)
