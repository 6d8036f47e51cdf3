"""Figures and faults of rows, by kind of output."""

import numpy as np
import pytest

from multi2vec.convert.comparison import Report, Stage, compare_array, compare_rows, table
from multi2vec.engine.floors import ARITHMETIC, Floor, floor
from multi2vec.engine.rows import Row, Sparse
from multi2vec.specs import OutputSpec

DENSE = OutputSpec("dense", 3)
TOKENS = OutputSpec("tokens", 3, "tokens")
SPARSE = OutputSpec("sparse", 100, "sparse")


def compare(ours: Row, original: Row, spec: OutputSpec, precision: str = "f32") -> Stage:
    return compare_rows("stage", [ours], [original], ["sample"], spec, floor(spec.kind, precision))


def dense(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def sparse(weights: dict[int, float]) -> Sparse:
    return Sparse(np.array(list(weights), dtype=np.int64), np.array(list(weights.values()), dtype=np.float32))


def test_equal_rows() -> None:
    for row, spec in ((dense(1, 2, 3), DENSE), (np.eye(3, dtype=np.float32), TOKENS), (sparse({3: 0.5}), SPARSE)):
        stage = compare(row, row, spec)
        assert not stage.faults
        assert stage.figures["smallest_cosine"] == 1
        assert stage.figures["length_ratio"] == 1
        assert stage.figures["largest_difference"] == 0


@pytest.mark.parametrize(
    ("ours", "original", "spec", "fault"),
    [
        (dense(np.nan, 0, 0), dense(1, 0, 0), DENSE, "has cosine nan"),
        (dense(1, 0.1, 0), dense(1, 0, 0), DENSE, "has cosine 0.995"),
        (dense(2, 0, 0), dense(1, 0, 0), DENSE, "is 2.0000 times as long"),
        (dense(0.01, 0, 0), dense(1, 0, 0), DENSE, "is 0.0100 times as long"),
        (dense(0, 0, 0), dense(1, 0, 0), DENSE, "has cosine nan"),
        (dense(1, 0), dense(1, 0), DENSE, "has the shape (2,)"),
        (dense(1, 0), dense(1, 0, 0), DENSE, "the original the shape (3,)"),
        # One token of three is wrong.
        (np.eye(3, dtype=np.float32)[[0, 1, 1]], np.eye(3, dtype=np.float32), TOKENS, "has cosine 0.0"),
        (np.eye(3, dtype=np.float32)[:2], np.eye(3, dtype=np.float32), TOKENS, "has the shape (2, 3)"),
        (sparse({1: 1, 2: 1}), sparse({1: 1}), SPARSE, "has cosine 0.7"),
        (sparse({1: 1}), sparse({2: 1}), SPARSE, "has cosine 0.0"),
        (sparse({1: 2}), sparse({1: 1}), SPARSE, "is 2.0000 times as long"),
        (sparse({}), sparse({1: 1}), SPARSE, "has cosine nan"),
    ],
)
def test_what_differs_is_a_fault(ours: Row, original: Row, spec: OutputSpec, fault: str) -> None:
    (found,) = compare(ours, original, spec).faults
    assert fault in found
    assert found.startswith("sample ")


def test_floors_follow_the_precision_and_the_kind_of_output(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, original = dense(1, 0.03, 0), dense(1, 0, 0)
    assert compare(ours, original, DENSE, "f32").faults
    assert not compare(ours, original, DENSE, "bf16").faults
    monkeypatch.setitem(ARITHMETIC, "tokens", {"f32": Floor(1, 1), "bf16": Floor(0.99999, 1)})  # type: ignore[arg-type]
    assert compare(ours[None], original[None], TOKENS, "bf16").faults
    assert not compare(ours, original, DENSE, "bf16").faults


def test_what_arithmetic_and_compressed_weights_cost_adds_up() -> None:
    assert floor("dense", "bf16", "int8") == Floor(0.9891, 0.07)
    assert floor("dense", "bf16", "int8", own=0.98) == Floor(0.9791, 0.07)
    assert floor("sparse", "f32", "int4") == Floor(0.85, 0.302)
    assert floor("dense", "f32", "fp16", own=0.5) == ARITHMETIC["dense"]["f32"]


def test_sparse_rows_without_weights_are_equal() -> None:
    assert not compare(sparse({}), sparse({}), SPARSE).faults


def test_whole_numbers_must_be_equal_and_others_nearly() -> None:
    stage = Stage("stage")
    compare_array(stage, "same", np.array([1, 2]), np.array([1, 2]))
    compare_array(stage, "near", np.array([1.0, 2.0]), np.array([1.0, 2.000001]))
    assert (stage.samples, stage.faults) == (2, [])
    compare_array(stage, "other", np.array([1, 2]), np.array([1, 5]))
    compare_array(stage, "longer", np.array([1, 2]), np.array([1, 2, 3]))
    compare_array(stage, "not a number", np.array([1.0, np.nan]), np.array([1.0, 2.0]))
    assert [fault.split(" became")[0] for fault in stage.faults] == ["other", "longer", "not a number"]


def test_the_table_has_a_line_for_each_stage() -> None:
    report = Report([Stage("good", 1), Stage("bad", 1, faults=["it is wrong"])])
    assert table(report).row_count == 2
    assert report.faults == ["bad: it is wrong"]
