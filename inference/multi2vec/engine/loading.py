"""The one door: from a model folder to an embedder. Server, parity, start-up check, benchmarks and library use it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from multi2vec import manifest as manifests
from multi2vec.engine.embedder import Embedder
from multi2vec.engine.encoder import Encoder, Execution
from multi2vec.engine.films import Decoding, Filmer
from multi2vec.engine.frames import FrameLane
from multi2vec.engine.lanes import Lane
from multi2vec.engine.observer import LaneObserver, Observer
from multi2vec.engine.plans import Plan, Planner, TowerPlan
from multi2vec.engine.preparers import PREPARERS, Preparer
from multi2vec.engine.preparers.fused import As
from multi2vec.engine.queues import PartQueue, TowerQueue
from multi2vec.engine.work import Limits, Work
from multi2vec.manifest import Manifest, ManifestError
from multi2vec.specs import VIDEO, Modality, kind_of

# What a vision tower's batches count as: each is a picture.
PICTURES: Modality = "image"


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
    if unknown := [kind for kind in map(kind_of, manifest.inputs.values()) if kind not in PREPARERS]:
        raise ManifestError(f"{folder} takes inputs of the kind {unknown[0]!r}, which this version cannot prepare")
    with ThreadPoolExecutor(1, "verify") as beside:
        verified = beside.submit(manifests.verify_files, folder, manifest, checksums=verify_checksums)
        try:
            plans = Planner(folder, manifest, execution, limits, lambda: wait([verified])).plans()
            encoders = _compile(folder, manifest, plans)
        finally:
            # A damaged file is reported first: it explains the rest.
            verified.result()
    threads = work.prepare_threads or execution.cpu_threads
    pool, waiting = (ThreadPoolExecutor(threads, thread_name_prefix=name) for name in ("prepare", "decode"))
    decoding, observers = Decoding(waiting, limits), cache(observer.lane)
    make = _Lanes(manifest, encoders, work, pool, decoding, observers)
    lanes = {modality: lane for plan in plans for modality, lane in make.of(plan).items()}
    frames = FrameLane(manifest, lanes["image"], decoding, observers(VIDEO)) if "image" in lanes else None
    return Embedder(manifest, lanes, (pool, waiting), frames=frames)


def _compile(folder: Path, manifest: Manifest, plans: Sequence[Plan]) -> dict[str, Encoder]:
    """The encoders by their towers' names."""
    towers = [tower for plan in plans for tower in plan.towers]

    def encoder(tower: TowerPlan) -> Encoder:
        return Encoder(folder, manifest.towers[tower.name], tower.execution, tower.choice.precision)

    # Side by side: compiling a tower keeps one core busy.
    with ThreadPoolExecutor(len(towers), "compile") as pool:
        return dict(zip([tower.name for tower in towers], pool.map(encoder, towers), strict=True))


@dataclass(frozen=True)
class _Lanes:
    """Makes the lanes of a plan."""

    manifest: Manifest
    encoders: Mapping[str, Encoder]
    work: Work
    pool: ThreadPoolExecutor
    decoding: Decoding
    observers: Callable[[str], LaneObserver]

    def of(self, plan: Plan) -> dict[Modality, Lane]:
        queue, parts = self._queue(plan), self._parts(plan)
        return {
            modality: Lane(
                self.manifest,
                modality,
                preparer,
                queue,
                parts=parts,
                pool=self.pool,
                filmer=self._filmer(plan, modality, preparer),
                observer=self.observers(modality),
            )
            for modality, preparer in plan.preparers.items()
        }

    def _queue(self, plan: Plan) -> TowerQueue:
        kind = kind_of(plan.spec)
        return TowerQueue(
            next(iter(plan.preparers.values())),
            self.manifest.towers[plan.main.name],
            self.encoders[plan.main.name],
            name=kind,
            choice=plan.main.choice,
            budget=self.work.budgets.get(kind, PREPARERS[kind].budget),
            admission=self.work.admission,
            observer=self.observers(kind),
        )

    def _filmer(self, plan: Plan, modality: Modality, preparer: Preparer[Any]) -> Filmer | None:
        """Where a video may be in an item."""
        if VIDEO in plan.spec.modalities and isinstance(preparer, As) and modality in ("fused", VIDEO):
            return Filmer(preparer, self.decoding)
        return None

    def _parts(self, plan: Plan) -> PartQueue | None:
        budget = PREPARERS[kind_of(plan.spec)].parts
        if plan.vision is None or budget is None:
            return None
        name = plan.vision.name
        return PartQueue(
            self.encoders[name], name=name, choice=plan.vision.choice, budget=budget, observer=self.observers(PICTURES)
        )
