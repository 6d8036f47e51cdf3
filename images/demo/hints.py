"""Questions about a picture that the image tower learns to answer besides CLIP's own task.

CLIP's loss alone teaches colours, sizes and places within minutes and shapes only much later. Asked
where the items are and what each patch belongs to, the tower learns to see shapes as well. The
answers are linear layers, thrown away after training.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from images.demo.pool import CODES, MAP, Batch

FACTS = 8
ITEM_FACTS = 3
MASK_LAYER = 3
FEWEST_CELLS = 6  # A patch that shows less of an item is not asked about it.


class Hints(nn.Module):
    """Losses of three questions, answered from an image tower of `width` and `grid` x `grid`."""

    def __init__(self, width: int, grid: int) -> None:
        super().__init__()
        self.cells = MAP // grid
        self.where = nn.Linear(width, self.cells**2)
        self.patch = nn.Linear(width, ITEM_FACTS * len(CODES))
        self.whole = nn.Linear(width, FACTS * len(CODES))

    def forward(self, layers: tuple[Tensor, ...], pooled: Tensor, batch: Batch) -> Tensor:
        """`layers` are the tower's hidden states (b, 1 + patches, width), `pooled` (b, width)."""
        facts = torch.from_numpy(batch.facts).long()
        cells = self._cells(torch.from_numpy(batch.maps))
        where = self.where(layers[MASK_LAYER][:, 1:]).float()
        whole = self.whole(pooled).float().view(-1, len(CODES))
        loss: Tensor = 2 * binary_cross_entropy_with_logits(where, (cells > 0).float())
        loss = loss + cross_entropy(whole, facts.flatten())
        return loss + self._of_patches(layers[-1][:, 1:], cells, facts)

    def _cells(self, maps: Tensor) -> Tensor:
        """(b, MAP, MAP) to (b, patches, cells * cells), in the order of the tower's patches."""
        blocks = maps.unfold(1, self.cells, self.cells).unfold(2, self.cells, self.cells)
        return blocks.reshape(len(maps), -1, self.cells**2)

    def _of_patches(self, hidden: Tensor, cells: Tensor, facts: Tensor) -> Tensor:
        """Size, colour and shape of the item that fills most of a patch."""
        first, second = ((cells == number).sum(-1) for number in (1, 2))
        of_item = facts[:, 2:].view(-1, 1, 2, ITEM_FACTS).expand(-1, cells.shape[1], -1, -1)
        wanted = torch.where((first >= second)[..., None], of_item[:, :, 0], of_item[:, :, 1])
        asked = torch.maximum(first, second) >= FEWEST_CELLS
        answers = self.patch(hidden[asked]).float().view(-1, len(CODES))
        return cross_entropy(answers, wanted[asked].flatten())
