"""Which arithmetic is chosen: by fakes that are faster either way, and what may be chosen from at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import openvino as ov
import pytest

from multi2vec.engine import precision
from multi2vec.engine.encoder import Execution
from multi2vec.engine.loading import open_model
from multi2vec.engine.precision import Choice, Trial, beginning, candidates, choose, remembered
from multi2vec.manifest import read
from tests import toy


class Fake:
    """Takes so many seconds for an item, whatever the clock says; slower at first, as the real one is."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.runs: list[int] = []

    def seconds(self, batch: int) -> float:
        self.runs.append(batch)
        return self._seconds * batch * (10 if self.runs.count(batch) == 1 else 1)


def fakes(**seconds: float) -> dict[str, Trial]:
    return {name: Fake(value) for name, value in seconds.items()}


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({"f32": 1.0, "bf16": 0.5}, "bf16"),
        ({"f32": 1.0, "bf16": 1.6}, "f32"),
        ({"f32": 1.0, "bf16": 1.0}, "f32"),
        # Not by so much that it would be the same every time.
        ({"f32": 1.0, "bf16": 0.95}, "f32"),
    ],
)
def test_the_faster_one_is_chosen(seconds: Mapping[str, float], chosen: str) -> None:
    choice = choose(fakes(**seconds), (1, 8))
    assert choice.precision == chosen
    assert choice.milliseconds == {
        name: {1: pytest.approx(1e3 * value), 8: pytest.approx(8e3 * value)} for name, value in seconds.items()
    }


def test_the_first_run_does_not_count_and_the_precisions_take_turns() -> None:
    trials = fakes(f32=1.0, bf16=2.0)
    assert choose(trials, (4,)).milliseconds["f32"][4] == pytest.approx(4e3)
    assert [len(trial.runs) for trial in trials.values()] == [1 + precision.REPEATS] * 2  # type: ignore[attr-defined]


def test_without_parity_in_bf16_there_is_nothing_to_choose() -> None:
    assert candidates(Execution(), bf16_is_measured=False) == ("f32",)
    allowed = candidates(Execution(), bf16_is_measured=True)
    assert allowed == (("f32", "bf16") if precision.cpu_has_bf16() else ("f32",))


def test_what_is_asked_for_is_not_measured() -> None:
    assert candidates(Execution(precision="bf16"), bf16_is_measured=False) == ("bf16",)


def graph(multiplications: int) -> ov.Model:
    """So many multiplications one after the other."""
    from openvino import opset15 as op

    parameter = op.parameter([-1, 4], ov.Type.f32, name="x")
    node = parameter
    for _ in range(multiplications):
        node = op.matmul(node, op.constant(toy.PICTURE_WEIGHTS[:4, :4]), False, False)
    return ov.Model([node], [parameter], "chain")


@pytest.mark.parametrize(("before", "after"), [(3, 3), (9, 9), (30, precision.MULTIPLICATIONS)])
def test_only_the_beginning_of_a_tower_is_measured(before: int, after: int) -> None:
    kept = [node for node in beginning(graph(before)).get_ordered_ops() if node.get_type_name() == "MatMul"]
    assert len(kept) == after


@pytest.mark.parametrize("faster", ["f32", "bf16"])
def test_a_model_runs_in_what_was_chosen(toy_folder: Path, monkeypatch: pytest.MonkeyPatch, faster: str) -> None:
    times = {name: 0.5 if name == faster else 1.0 for name in ("f32", "bf16")}
    monkeypatch.setattr(precision, "trials", lambda *_: fakes(**times))
    monkeypatch.setattr(precision, "candidates", lambda *_, **__: ("f32", "bf16"))
    embedder = open_model(toy_folder)
    for lane in embedder.lanes.values():
        assert lane.encoder.precision == lane.choice.precision == faster
    assert sorted(embedder.lanes["image"].choice.milliseconds["f32"]) == [1, 4]
    assert list(embedder.lanes["text"].choice.milliseconds["f32"]) == [8]
    embedder.close()


def test_the_real_measurement_runs(toy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "candidates", lambda *_, **__: ("f32", "bf16"))
    embedder = open_model(toy_folder)
    for modality in read(toy_folder).modalities:
        times = embedder.lanes[modality].choice.milliseconds
        assert set(times) == {"f32", "bf16"}
        assert all(value >= 0 for row in times.values() for value in row.values())
    embedder.close()


class TestMemory:
    def test_a_choice_is_made_once_for_a_tower_and_kind_of_cpu(self, toy_folder: Path, tmp_path: Path) -> None:
        made: list[Choice] = []

        def make() -> Choice:
            made.append(choose(fakes(f32=1.0, bf16=0.5), (1, 8)))
            return made[-1]

        def ask(name: str = "text.xml", **execution: int) -> Choice:
            return remembered(tmp_path, toy_folder / name, Execution(**execution), ("f32", "bf16"), make)  # type: ignore[arg-type]

        assert ask(threads=2) == ask(threads=2) == made[0]
        assert len(made) == 1
        # Another tower, another number of threads.
        ask("image.xml", threads=2)
        ask(threads=3)
        assert len(made) == 3

    def test_what_is_damaged_is_made_again(self, toy_folder: Path, tmp_path: Path) -> None:
        def ask(name: str) -> Choice:
            return remembered(tmp_path, toy_folder / "text.xml", Execution(), ("f32", "bf16"), lambda: Choice(name))

        assert ask("f32").precision == "f32"
        (kept,) = tmp_path.iterdir()
        for content in ("", "[]", "{}", '{"precision": "bf16"}', '{"precision": "f16", "milliseconds": {}}'):
            kept.write_text(content)
            assert ask("bf16").precision == "bf16"

    def test_without_a_folder_or_in_one_that_cannot_be_written_nothing_is_kept(
        self, toy_folder: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "file").touch()
        for folder in (None, tmp_path / "file" / "cache"):
            for name in ("f32", "bf16"):
                choice = remembered(
                    folder, toy_folder / "text.xml", Execution(), (name,), lambda name=name: Choice(name)
                )  # type: ignore[misc]
                assert choice.precision == name

    def test_a_second_start_measures_nothing(
        self, toy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(precision, "candidates", lambda *_, **__: ("f32", "bf16"))
        first = open_model(toy_folder, Execution(cache=tmp_path))
        monkeypatch.delattr(precision, "trials")
        second = open_model(toy_folder, Execution(cache=tmp_path))
        for modality in first.lanes:
            assert second.lanes[modality].choice == first.lanes[modality].choice
        first.close()
        second.close()


def test_a_model_without_parity_in_bf16_runs_in_f32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def allowed(execution: Execution, *, bf16_is_measured: bool) -> tuple[str, ...]:
        asked.append(bf16_is_measured)
        return ("f32", "bf16") if bf16_is_measured else ("f32",)

    monkeypatch.setattr(precision, "candidates", allowed)
    monkeypatch.setattr(precision, "trials", lambda *_: fakes(f32=1.0, bf16=0.1))
    folder = toy.write(tmp_path)
    measured = read(folder)
    elsewhere = dataclasses.replace(measured, parity={**measured.parity, "bf16": "not measured: this CPU has no bf16"})
    for manifest, expected in ((measured, "bf16"), (elsewhere, "f32")):
        embedder = open_model(folder, manifest=manifest)
        assert {lane.encoder.precision for lane in embedder.lanes.values()} == {expected}
        embedder.close()
    assert asked == [True, False]
