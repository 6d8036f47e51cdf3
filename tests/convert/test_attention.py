"""What attention of our own leaves to nobody: a model that needs more is refused."""

from __future__ import annotations

import pytest
import torch

from multi2vec.convert import tracing
from multi2vec.convert.errors import ConversionError, SourceError
from multi2vec.convert.model import Tower, dense, token_inputs
from multi2vec.convert.parts import attention

STATES = torch.ones(2, 1, 5, 4)


class Capped(torch.nn.Module):
    """A tower whose attention has a cap on its scores."""

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        states = input_ids[:, None, :, None].float().expand(-1, 1, -1, 4)
        return attention.attend(self, states, states, states, None, softcap=50.0)[0][:, 0, 0]


@pytest.mark.parametrize("more", ["position_bias", "softcap", "s_aux"])
def test_what_is_not_computed_is_refused(more: str) -> None:
    with pytest.raises(SourceError, match="which is not supported"):
        attention.attend(torch.nn.Identity(), STATES, STATES, STATES, None, **{more: 1.0})


def test_such_a_tower_is_one_sentence() -> None:
    tower = Tower(Capped(), token_inputs("input_ids"), (torch.ones(2, 5, dtype=torch.long),), dense(4))
    sentence = (
        r"^the tower 'text' cannot be traced: the model's attention has a bias, a cap or sinks, which is not supp"
    )
    with pytest.raises(ConversionError, match=sentence):
        tracing.trace("text", tower)
