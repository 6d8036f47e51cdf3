"""Training pictures, drawn once by worker processes, and fresh captions for every batch."""

import io
import multiprocessing
import random
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from images.demo.scenes import (
    COLOURS,
    RELATIONS,
    SHAPES,
    SIZES,
    Scene,
    Told,
    caption,
    item_map,
    random_scene,
    render,
    variant,
)

EDGE = 64  # Pixels, the model's picture size.
MAP = 32  # Pixels of an item map.
GROUP = 4  # A scene and three that differ a little stay together in a batch.
UNTOLD = -1
CODES = {word: code for code, word in enumerate(("", *SIZES, *COLOURS, *SHAPES, *RELATIONS))}

Pixels = npt.NDArray[np.uint8]
Facts = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Batch:
    """b pictures (b, EDGE, EDGE, 3), their item maps (b, MAP, MAP) and coded facts (b, 8).

    With b captions or none; `valid` (b, b) is True where caption i is true of picture j.
    """

    pixels: Pixels
    maps: Pixels
    facts: Facts
    texts: list[str]
    valid: npt.NDArray[np.bool_]


class Pool:
    """Groups of similar scenes with their pictures."""

    def __init__(self, groups: int, seed: int, workers: int) -> None:
        tasks = range(seed * groups, (seed + 1) * groups)
        self.scenes: list[Scene] = []
        self.pixels = np.empty((groups * GROUP, EDGE, EDGE, 3), np.uint8)
        self.maps = np.empty((groups * GROUP, MAP, MAP), np.uint8)
        with multiprocessing.get_context("spawn").Pool(workers) as processes:
            drawn = processes.imap(_draw_group, tasks, chunksize=64)
            for number, (scenes, pixels, maps) in enumerate(tqdm(drawn, "drawing", total=groups)):
                self.scenes += scenes
                rows = slice(number * GROUP, (number + 1) * GROUP)
                self.pixels[rows], self.maps[rows] = pixels, maps
        self.facts = np.array([_coded(scene) for scene in self.scenes], np.int8)

    def batch(self, size: int, rng: random.Random, *, captions: bool = True) -> Batch:
        groups = rng.sample(range(len(self.scenes) // GROUP), size // GROUP)
        chosen = [group * GROUP + member for group in groups for member in range(GROUP)]
        pixels, maps, facts = self.pixels[chosen], self.maps[chosen], self.facts[chosen]
        if not captions:
            return Batch(pixels, maps, facts, [], np.empty((0, 0), np.bool_))
        told = [_random_told(rng) for _ in chosen]
        texts = [caption(self.scenes[i], rng, t) for i, t in zip(chosen, told, strict=True)]
        return Batch(pixels, maps, facts, texts, true_of(_claims(facts, told), facts))


def true_of(claims: Facts, facts: Facts) -> npt.NDArray[np.bool_]:
    """(b, b) bool: claim i (row of eight codes, UNTOLD where silent) is true of scene j."""
    turned = facts[:, [0, 1, 5, 6, 7, 2, 3, 4]]

    def fits(against: Facts) -> npt.NDArray[np.bool_]:
        same = (claims[:, None] == against) | (claims[:, None] == UNTOLD)
        return np.asarray(same.all(axis=-1))

    # "A and B" tells no order, so it is true of the scene the other way round as well.
    unordered = claims[:, 1] == UNTOLD
    return np.asarray(fits(facts) | (fits(turned) & unordered[:, None]))


def _claims(facts: Facts, told: list[Told]) -> Facts:
    flags = [(t.background, t.relation, *(t.size, t.colour, t.shape) * 2) for t in told]
    # That there is no second item is always told.
    keep = np.array(flags) | (facts == 0)
    return np.where(keep, facts, np.int8(UNTOLD))


def _coded(scene: Scene) -> list[int]:
    return [CODES[fact] for fact in scene.facts]


def _random_told(rng: random.Random) -> Told:
    which = rng.random()
    return Told(
        background=rng.random() < 0.65,
        relation=rng.random() < 0.8,
        size=rng.random() < 0.7,
        colour=which > 0.06,
        shape=which < 0.94,
    )


def _draw_group(seed: int) -> tuple[list[Scene], Pixels, Pixels]:
    rng = random.Random(f"group {seed}")
    first = random_scene(rng)
    scenes = [first, *(variant(first, rng) for _ in range(GROUP - 1))]
    maps = np.stack([np.asarray(item_map(scene, MAP)) for scene in scenes])
    return scenes, np.stack([_draw(scene, rng) for scene in scenes]), maps


def _draw(scene: Scene, rng: random.Random) -> Pixels:
    """A picture as a client may send it, prepared as the model's image processor does."""
    picture = render(scene, rng.choice((EDGE, 80, 112, 160, 224)))
    if rng.random() < 0.4:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=rng.randint(45, 95))
        picture = Image.open(buffer)
    if picture.width != EDGE:
        picture = picture.resize((EDGE, EDGE), Image.Resampling.BICUBIC)
    return np.asarray(picture)
