"""The text encoder of MobileCLIP-S0: convolutions along the text before and after a small transformer.

Written from the papers and from the published configuration and names of tensors; no package has it.

* MobileCLIP, arXiv 2311.17049, section 4.1 (Text-RepMixer) and its appendix
* FastViT, arXiv 2303.14189, section 3.1 (RepMixer), and MobileOne, arXiv 2206.04040 (folding of branches)
* https://github.com/apple/ml-mobileclip, `mobileclip/configs/mobileclip_s0.json`

There is neither a causal mask nor one for padding, and the convolutions reach into the padding: each text must have the
full context length.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

# Tokens that a convolution sees at once.
KERNEL = 11


@dataclass(frozen=True)
class Sizes:
    """The encoder's sizes; the defaults are MobileCLIP-S0's."""

    vocabulary: int = 49408
    context: int = 77
    width: int = 512
    heads: int = 8
    layers: int = 4
    widening: float = 4.0
    dimensions: int = 512


class TextEncoder(nn.Module):
    """int64 (rows, context) token ids to float32 (rows, dimensions), not normalised.

    Token 0 fills up what lacks. The vector is taken at the largest id, which is that of the end of a text.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width = sizes.width
        self.embedding_layer = nn.Embedding(sizes.vocabulary, width)
        self.positional_embedding = Positions(sizes.context, width)
        layers = [Layer(width, sizes.heads, int(width * sizes.widening)) for _ in range(sizes.layers)]
        self.transformer = nn.ModuleList([RepMixerBlock(width), *layers, RepMixerBlock(width)])
        self.final_layer_norm = nn.LayerNorm(width)
        self.projection_layer = nn.Parameter(torch.zeros(width, sizes.dimensions))

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        states = self.positional_embedding(self.embedding_layer(input_ids))
        for block in self.transformer:
            states = block(states)
        rows = torch.arange(states.shape[0], device=states.device)
        ends: torch.Tensor = self.final_layer_norm(states)[rows, input_ids.argmax(dim=-1)]
        return ends @ self.projection_layer


class Positions(nn.Module):
    """Adds a learnt vector to each position."""

    def __init__(self, context: int, width: int) -> None:
        super().__init__()
        # The original has it one module deeper.
        self.pos_embed = nn.Module()
        self.pos_embed.pos_embed = nn.Parameter(torch.zeros(1, 1, context, width))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        table = self.pos_embed.pos_embed
        assert isinstance(table, torch.Tensor)
        return states + table[0]


class Layer(nn.Module):
    """A layer of a transformer, normalised before attention and before its two linear maps."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.pre_norm_mha = nn.Sequential(nn.LayerNorm(width), Attention(width, heads))
        # The fourth is dropout in the original, which numbers the tensors of what follows.
        self.pre_norm_ffn = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Identity(), nn.Linear(hidden, width)
        )

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        states = states + self.pre_norm_mha(states)
        return states + torch.as_tensor(self.pre_norm_ffn(states))


class Attention(nn.Module):
    """Self-attention of every token to every token, padding included."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv_proj = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        rows, length, width = states.shape
        joined = self.qkv_proj(states).reshape(rows, length, 3, self.heads, width // self.heads)
        query, key, value = joined.permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        found: torch.Tensor = self.out_proj(mixed.transpose(1, 2).reshape(rows, length, width))
        return found


class RepMixerBlock(nn.Module):
    """Mixes neighbouring tokens of each channel, then the channels of each token; (rows, length, width) in and out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.token_mixer = RepMixer(width)
        self.convffn = ConvolutionalFeedForward(width)
        self.layer_scale = nn.Parameter(torch.zeros(width, 1, 1))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        # A text is a picture of height 1 here.
        line = self.token_mixer(states.transpose(1, 2).unsqueeze(2))
        line = line + self.layer_scale * self.convffn(line)
        return torch.as_tensor(line.squeeze(2).transpose(1, 2))


class RepMixer(nn.Module):
    """`x + scale · (mixer(x) - norm(x))`, which `reparameterize` folds into one convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = Branches(width, convolutions=0)
        self.mixer = Branches(width, convolutions=1)
        self.layer_scale = nn.Parameter(torch.zeros(width, 1, 1))
        self.folded: nn.Conv2d | None = None

    def forward(self, line: torch.Tensor) -> torch.Tensor:
        if self.folded is not None:
            return torch.as_tensor(self.folded(line))
        return line + self.layer_scale * torch.as_tensor(self.mixer(line) - self.norm(line))

    @torch.no_grad()
    def reparameterize(self) -> None:
        """Compute by one convolution from now on. In inference only: the batch statistics become constants."""
        (kernel, bias), (own_kernel, own_bias) = self.mixer.as_convolution(), self.norm.as_convolution()
        folded = depthwise(len(bias), bias=True)
        folded.weight.copy_(unit_kernel(len(bias)) + self.layer_scale[..., None] * (kernel - own_kernel))
        assert folded.bias is not None
        folded.bias.copy_(self.layer_scale.flatten() * (bias - own_bias))
        self.folded = folded.requires_grad_(False).eval()


class Branches(nn.Module):
    """The sum of a normalised skip connection and of convolutions along the text, each normalised."""

    def __init__(self, width: int, convolutions: int) -> None:
        super().__init__()
        self.rbr_skip = nn.BatchNorm2d(width)
        self.rbr_conv = nn.ModuleList(normalised_convolution(width) for _ in range(convolutions))

    def forward(self, line: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.rbr_skip(line)
        for branch in self.rbr_conv:
            found = found + branch(line)
        return found

    def as_convolution(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Kernel (width, 1, 1, KERNEL) and bias (width,) of the one convolution that gives the same."""
        branches = [(unit_kernel(self.rbr_skip.num_features), self.rbr_skip)]
        branches += [(branch.conv.weight, branch.bn) for branch in self.rbr_conv]  # type: ignore[union-attr, misc]
        parts = [with_norm(kernel, norm) for kernel, norm in branches]
        return sum_of(kernel for kernel, _ in parts), sum_of(bias for _, bias in parts)


class ConvolutionalFeedForward(nn.Module):
    """A convolution along the text, and two linear maps of each token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = normalised_convolution(width)
        self.fc1 = nn.Conv2d(width, 4 * width, 1)
        self.act = nn.GELU()
        self.fc2 = nn.Conv2d(4 * width, width, 1)

    def forward(self, line: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.fc2(self.act(self.fc1(self.conv(line)))))


def depthwise(width: int, *, bias: bool = False) -> nn.Conv2d:
    """A convolution along the text, each channel on its own."""
    return nn.Conv2d(width, width, (1, KERNEL), padding=(0, KERNEL // 2), groups=width, bias=bias)


def normalised_convolution(width: int) -> nn.Sequential:
    """The same, normalised."""
    return nn.Sequential(OrderedDict(conv=depthwise(width), bn=nn.BatchNorm2d(width)))


def unit_kernel(width: int) -> torch.Tensor:
    """The kernel (width, 1, 1, KERNEL) that changes nothing."""
    kernel = torch.zeros(width, 1, 1, KERNEL)
    kernel[..., KERNEL // 2] = 1
    return kernel


def with_norm(kernel: torch.Tensor, norm: nn.BatchNorm2d) -> tuple[torch.Tensor, torch.Tensor]:
    """Kernel and bias of a convolution with the batch normalisation that follows it in one."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return kernel * factor.reshape(-1, 1, 1, 1), norm.bias - norm.running_mean * factor


def sum_of(parts: Iterable[torch.Tensor]) -> torch.Tensor:
    """Their sum; there is one at least."""
    return torch.stack(list(parts)).sum(dim=0)
