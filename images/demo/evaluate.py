"""What a saved checkpoint makes of scenes whose colour-shape pairs were never trained on.

python -m images.demo.evaluate prints the figures of the checkpoint in this folder.
"""

import io
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize
from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

from images.demo.scenes import (
    BACKGROUNDS,
    COLOURS,
    HELD_OUT,
    SHAPES,
    SIZES,
    Item,
    Scene,
    candidates,
    render,
)

HERE = Path(__file__).parent
Figures = dict[str, float]


class Checkpoint:
    """A saved model, its tokenizer and its image processor, at one precision."""

    def __init__(self, folder: Path, precision: str = "float32") -> None:
        self.model = CLIPModel.from_pretrained(folder, dtype=torch.float32).train(mode=False)
        self.tokenizer = CLIPTokenizer.from_pretrained(folder)
        self.processor = CLIPImageProcessor.from_pretrained(folder)
        self.bfloat16 = precision == "bfloat16"

    def scores(self, texts: Sequence[str], pictures: Sequence[Image.Image]) -> Tensor:
        """Cosines (texts, pictures), float32."""
        tokens = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        pixels = self.processor(list(pictures), return_tensors="pt")
        with (
            torch.inference_mode(),
            torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16),
        ):
            made = self.model(**tokens, **pixels)
        said = normalize(made.text_embeds.float(), dim=-1)
        shown = normalize(made.image_embeds.float(), dim=-1)
        return said @ shown.T


def evaluate(folder: Path, seeds: range = range(8), n: int = 200) -> dict[str, Any]:
    """Recall at 1 and 5, both ways, of n candidates per seed; and how it names single items."""
    report: dict[str, Any] = {"candidates": n, "seeds": list(seeds)}
    for precision in ("float32", "bfloat16"):
        checkpoint = Checkpoint(folder, precision)
        rows = [recalls(checkpoint, seed, n) for seed in seeds]
        report[precision] = {
            name: {
                "lowest": min(row[name] for row in rows),
                "mean": round(sum(row[name] for row in rows) / len(rows), 4),
                "by_seed": [row[name] for row in rows],
            }
            for name in rows[0]
        }
    return report | {"naming": naming(Checkpoint(folder))}


def recalls(checkpoint: Checkpoint, seed: int, n: int) -> Figures:
    """Shares found at 1 and at 5 among the n candidates of a seed, rounded to 4 digits."""
    scenes, texts = zip(*candidates(seed, n), strict=True)
    rng = random.Random(seed)
    scores = checkpoint.scores(texts, [_sent(scene, rng) for scene in scenes])
    found: Figures = {}
    for name, rows in (("text_to_picture", scores), ("picture_to_text", scores.T)):
        better = (rows > rows.diagonal()[:, None]).sum(dim=1)
        for k in (1, 5):
            found[f"{name}_at_{k}"] = round((better < k).float().mean().item(), 4)
    return found


def naming(checkpoint: Checkpoint, times: int = 4) -> Figures:
    """Shares of single items, all of held-out pairs, whose shape or colour is the best of twelve.

    Recall cannot show this: few candidates differ in nothing but a shape.
    """
    rng = random.Random(0)
    items = [Item(size, colour, shape) for colour, shape in sorted(HELD_OUT) for size in SIZES for _ in range(times)]
    pictures = []
    for item in items:
        background = rng.choice([other for other in BACKGROUNDS if other != item.colour])
        pictures.append(_sent(Scene(background, item, seed=rng.getrandbits(32)), rng))
    texts = [f"a {colour} {shape}" for colour in COLOURS for shape in SHAPES]
    scores = checkpoint.scores(texts, pictures).T.view(-1, len(COLOURS), len(SHAPES))
    right = {"shape": 0, "colour": 0}
    for item, table in zip(items, scores, strict=True):
        colour, shape = COLOURS.index(item.colour), SHAPES.index(item.shape)
        right["shape"] += int(table[colour].argmax().item() == shape)
        right["colour"] += int(table[:, shape].argmax().item() == colour)
    return {name: round(count / len(items), 4) for name, count in right.items()}


def _sent(scene: Scene, rng: random.Random) -> Image.Image:
    """A picture as a client may send it: any of several sizes, as PNG or as JPEG."""
    picture = render(scene, rng.choice((64, 128, 224, 256, 300)))
    if rng.random() < 0.5:
        return picture
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=rng.randint(70, 95))
    return Image.open(buffer)


if __name__ == "__main__":
    print(json.dumps(evaluate(HERE / "checkpoint"), indent=2))
