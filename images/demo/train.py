"""Trains the demo model from nothing: python -m images.demo.train

scenes -> pool (pictures, captions) -> CLIPModel -> checkpoint/ (float16) -> evaluation.json
"""

import argparse
import json
import math
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize
from tqdm import trange
from transformers import (
    BatchEncoding,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPTokenizer,
)

from images.demo.evaluate import evaluate
from images.demo.hints import Hints
from images.demo.pool import EDGE, Batch, Pixels, Pool
from images.demo.tokens import CONTEXT, learn_tokenizer

HERE = Path(__file__).parent
WIDTH = 192  # Of the image tower.
PATCH = 16  # Pixels.
SCALE_LIMIT = 4.6052  # ln 100, as CLIP has it.
MIDDLE = [0.5, 0.5, 0.5]  # Mean and deviation of the image processor.


def build(tokenizer: CLIPTokenizer) -> CLIPModel:
    """A small CLIP with random weights, about 3 million parameters."""
    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    common = {"projection_dim": 128, "hidden_act": "gelu"}
    text = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 3,
            "num_attention_heads": 4, "vocab_size": len(tokenizer),
            "max_position_embeddings": CONTEXT, **common, **ids}  # fmt: skip
    vision = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_hidden_layers": 5,
              "num_attention_heads": 6, "image_size": EDGE, "patch_size": PATCH, **common}  # fmt: skip
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=128))
    # On a CPU the backward pass of the fused attention takes ten times as long as the plain one.
    model.set_attn_implementation("eager")
    smooth(model.vision_model.embeddings.patch_embedding.weight)
    return model


def smooth(weight: Tensor, scale: float = 0.2) -> None:
    """Starts patch weights (192, 3, 16, 16) as mixed low frequencies of brightness and two tints.

    Random weights see mostly pixel noise, and outlines are learnt far more slowly from them.
    """
    place, wave = torch.arange(PATCH) + 0.5, torch.arange(8)
    waves = torch.cos(math.pi * wave[:, None] * place / PATCH) * math.sqrt(2 / PATCH)
    waves[0] /= math.sqrt(2)
    tints = normalize(torch.tensor([[1.0, 1, 1], [1, -1, 0], [1, 1, -2]]), dim=-1)
    basis = torch.einsum("ui,vj,tc->uvtcij", waves, waves, tints).reshape(weight.shape)
    mixed = nn.init.orthogonal_(torch.empty(len(weight), len(weight)))
    with torch.no_grad():
        weight.copy_(scale * torch.einsum("ab,bcij->acij", mixed, basis))


def look(model: CLIPModel, hints: Hints, batch: Batch) -> tuple[Tensor, Tensor]:
    """Picture vectors (b, 128) of length one, and the loss of the hints."""
    with torch.autocast("cpu", torch.bfloat16):
        seen = model.vision_model(pixel_values=jitter(batch.pixels), output_hidden_states=True)
        vectors = model.visual_projection(seen.pooler_output)
        loss = hints(seen.hidden_states, seen.pooler_output, batch)
    return normalize(vectors.float(), dim=-1), loss


def match(model: CLIPModel, pictures: Tensor, tokens: BatchEncoding, batch: Batch) -> Tensor:
    """CLIP's loss, but a caption that is true of another picture too is not held against it."""
    with torch.autocast("cpu", torch.bfloat16):
        read = model.text_model(**tokens)
        vectors = model.text_projection(read.pooler_output)
    scale = model.logit_scale.clamp(max=SCALE_LIMIT).exp()
    scores = scale * normalize(vectors.float(), dim=-1) @ pictures.T
    also_true = torch.from_numpy(batch.valid) & ~torch.eye(len(scores), dtype=torch.bool)
    scores = scores.masked_fill(also_true, -torch.inf)
    target = torch.arange(len(scores))
    return (cross_entropy(scores, target) + cross_entropy(scores.T, target)) / 2


def jitter(pixels: Pixels) -> Tensor:
    """(b, h, w, 3) uint8 to (b, 3, h, w) float32 in -1..1, brighter or darker at random."""
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    gain = 1 + 0.05 * torch.randn(len(x), 1, 1, 1)
    tint = 0.03 * torch.randn(len(x), 3, 1, 1)
    return (x * gain + tint).clamp(-1, 1)


def train(pool: Pool, tokenizer: CLIPTokenizer, asked: argparse.Namespace) -> CLIPModel:
    """First the image tower alone learns to see, then both towers learn to agree."""
    model = build(tokenizer)
    hints = Hints(WIDTH, EDGE // PATCH)
    rng = random.Random(1)

    def seeing() -> Tensor:
        return look(model, hints, pool.batch(asked.batch // 2, rng, captions=False))[1]

    def agreeing() -> Tensor:
        batch = pool.batch(asked.batch, rng)
        pictures, hinted = look(model, hints, batch)
        tokens = tokenizer(batch.texts, padding=True, return_tensors="pt")
        return match(model, pictures, tokens, batch) + 0.3 * hinted

    both = nn.ModuleList([model, hints])
    fit(both, seeing, asked.seeing, asked.rate, "seeing")
    fit(both, agreeing, asked.steps, asked.rate, "agreeing")
    return model


def fit(model: nn.Module, loss_of: Callable[[], Tensor], steps: int, rate: float, name: str) -> None:
    model.train()
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}],
        lr=rate, betas=(0.9, 0.98),
    )  # fmt: skip
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps, pct_start=0.05, cycle_momentum=False)
    for step in (progress := trange(steps, desc=name, mininterval=5)):
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            progress.set_postfix(loss=f"{loss.item():.3f}")


def save(model: CLIPModel, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Writes the folder whole or not at all; the weights as float16."""
    fresh, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    model.half()  # type: ignore[no-untyped-call]
    model.save_pretrained(fresh)
    tokenizer.save_pretrained(fresh)
    CLIPImageProcessor(
        size={"shortest_edge": EDGE}, crop_size={"height": EDGE, "width": EDGE},
        image_mean=MIDDLE, image_std=MIDDLE,
    ).save_pretrained(fresh)  # fmt: skip
    (fresh / "model.safetensors").chmod(0o644)  # Written as 0600, unreadable in a container.
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeing", type=int, default=2500, help="steps of the image tower alone")
    parser.add_argument("--steps", type=int, default=1500, help="steps of both towers")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--groups", type=int, default=30_000, help="groups of four pictures")
    parser.add_argument("--out", type=Path, default=HERE / "checkpoint")
    parser.add_argument("--report", type=Path, default=HERE / "evaluation.json")
    asked = parser.parse_args()
    started = time.monotonic()
    torch.manual_seed(0)
    tokenizer = learn_tokenizer()
    pool = Pool(asked.groups, seed=0, workers=os.cpu_count() or 1)
    model = train(pool, tokenizer, asked)
    save(model, tokenizer, asked.out)
    spent = os.times()
    report = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "seeing_steps": asked.seeing,
        "steps": asked.steps,
        "batch": asked.batch,
        "training_minutes": round((time.monotonic() - started) / 60, 1),
        "training_cpu_minutes": round(sum(spent[:4]) / 60, 1),
        **evaluate(asked.out),
    }
    asked.report.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
