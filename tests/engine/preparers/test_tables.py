"""Places between the entries of a table, against transformers' own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers.vision_utils import get_vision_interpolation_indices_and_weights

from multi2vec.engine.preparers.layouts import patches, tables

# Rows and columns of patches: less than the table has, as many, more, and the narrowest.
GRIDS = [(2, 2), (2, 312), (4, 6), (30, 40), (48, 48), (62, 112), (100, 70), (312, 2)]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("merge", [1, 2])
@pytest.mark.parametrize("side", [48, 7])
def test_entries_and_parts_are_the_librarys(grid: tuple[int, int], merge: int, side: int) -> None:
    indices, weights = get_vision_interpolation_indices_and_weights(
        torch.tensor([[1, *grid]]), num_grid_per_side=side, align_corners=True, spatial_merge_size=merge
    )
    entries, parts = tables.between(patches.places(grid, merge), grid, side)
    assert entries.dtype == np.int64
    assert np.array_equal(entries, indices.numpy())
    assert parts.dtype == np.float32
    assert np.array_equal(parts, weights.numpy())


def test_a_table_for_a_picture_of_its_own_size_is_taken_as_it_is() -> None:
    places = patches.places((48, 48), 2)
    entries, parts = tables.between(places, (48, 48), 48)
    assert np.array_equal(entries[:, 0], places[:, 0] * 48 + places[:, 1])
    assert parts.sum(axis=1).tolist() == [1.0] * len(parts)
    assert (parts[:, 0] == 1).all()
