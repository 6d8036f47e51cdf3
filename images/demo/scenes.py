"""Scenes of coloured shapes, their pictures and their captions, all decided by seeds.

random_scene(rng) -> Scene -> render(scene, 224) -> picture
                           -> caption(scene)     -> "a small red star above a large blue ring"

Some colours never meet some shapes in training (`HELD_OUT`). `candidates` draws scenes from those
pairs alone, so a model that names them right has learnt colours and shapes apart.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image, ImageDraw

from images.demo.shapes import OUTLINES, Point, outline

Colour = tuple[int, int, int]
Pair = tuple[str, str]

# Two shades per name, in RGB; a picture takes a random shade between them.
SHADES: dict[str, tuple[Colour, Colour]] = {
    "red": ((215, 40, 45), (255, 0, 0)),
    "orange": ((240, 130, 30), (255, 165, 0)),
    "yellow": ((245, 220, 50), (255, 255, 0)),
    "green": ((50, 165, 75), (0, 128, 0)),
    "blue": ((45, 85, 215), (0, 0, 255)),
    "purple": ((135, 65, 175), (128, 0, 128)),
    "pink": ((245, 140, 185), (255, 185, 200)),
    "brown": ((125, 80, 45), (140, 65, 30)),
    "black": ((25, 25, 25), (0, 0, 0)),
    "white": ((240, 240, 240), (255, 255, 255)),
    "gray": ((145, 145, 145), (128, 128, 128)),
    "cyan": ((60, 200, 215), (0, 255, 255)),
}
COLOURS = tuple(SHADES)
SHAPES = tuple(OUTLINES)
BACKGROUNDS = ("white", "black", "gray", "yellow", "green", "blue")
RELATIONS = ("left of", "above")

# Radius as a share of the picture's edge.
RADII = {"small": (0.105, 0.12), "medium": (0.155, 0.175), "large": (0.21, 0.238)}
SIZES = tuple(RADII)
LARGE_ALONE = (0.21, 0.38)

PAIRS: frozenset[Pair] = frozenset((colour, shape) for colour in COLOURS for shape in SHAPES)
# Every colour lacks two shapes and every shape lacks two colours: 24 pairs of 144.
HELD_OUT: frozenset[Pair] = frozenset(
    (colour, SHAPES[(number + step) % len(SHAPES)]) for number, colour in enumerate(COLOURS) for step in (3, 8)
)
TRAINED: frozenset[Pair] = PAIRS - HELD_OUT

# The first wording of each list is the plain one.
_SAME = {
    "large": ["large", "large", "big"],
    "small": ["small", "small", "little", "tiny"],
    "medium": ["medium", "medium", "medium-sized"],
    "gray": ["gray", "grey"],
    "cyan": ["cyan", "cyan", "turquoise"],
    "crescent": ["crescent", "crescent", "moon"],
    "cross": ["cross", "cross", "plus sign"],
    "oval": ["oval", "oval", "ellipse"],
    "left of": ["left of", "to the left of", "on the left of"],
    "above": ["above", "above", "over"],
}
_TURNED = {
    "left of": ["right of", "to the right of", "on the right of"],
    "above": ["below", "below", "under"],
}
_FRAMES = ["{}", "{}", "a picture of {}", "a photo of {}", "there is {}", "an image of {}"]
_FRAMES += ["a drawing of {}"]
_FRAMES_OF_TWO = [*_FRAMES, "a picture of two shapes: {}", "two shapes: {}"]
_GROUNDS = ["{} on a {g} background", "{} on a {g} background", "{} on {g}"]
_GROUNDS += ["{} against a {g} background", "on a {g} background, {}", "{}, {g} background"]


@dataclass(frozen=True)
class Item:
    """One shape in a scene."""

    size: str
    colour: str
    shape: str


@dataclass(frozen=True)
class Scene:
    """What a picture shows. With two items, `first` is left of or above `second`.

    `seed` decides what no caption tells: the exact place, shade, size and tilt.
    """

    background: str
    first: Item
    second: Item | None = None
    relation: str | None = None
    seed: int = 0

    @property
    def items(self) -> tuple[Item, ...]:
        return (self.first,) if self.second is None else (self.first, self.second)

    @property
    def facts(self) -> tuple[str, ...]:
        """Background, relation, then size, colour and shape of each item; "" where absent."""
        second = self.second or Item("", "", "")
        one = (self.first.size, self.first.colour, self.first.shape)
        two = (second.size, second.colour, second.shape)
        return (self.background, self.relation or "", *one, *two)


@dataclass(frozen=True)
class Told:
    """Which of a scene's facts a caption tells."""

    background: bool = True
    relation: bool = True
    size: bool = True
    colour: bool = True
    shape: bool = True


def random_scene(rng: random.Random, pairs: frozenset[Pair] = TRAINED, alone: float = 0.3) -> Scene:
    """A scene whose items all come from `pairs`; `alone` is the share of scenes with one item."""
    background = rng.choice(BACKGROUNDS)
    visible = [pair for pair in sorted(pairs) if pair[0] != background]
    first, second = (Item(rng.choice(SIZES), *rng.choice(visible)) for _ in range(2))
    seed = rng.getrandbits(32)
    if rng.random() < alone:
        return Scene(background, first, seed=seed)
    return Scene(background, first, second, rng.choice(RELATIONS), seed)


def candidates(seed: int, n: int = 200) -> list[tuple[Scene, str]]:
    """n scenes of held-out pairs with captions that tell everything; no two scenes share all facts.

    Captions differ from one another at least in one size, colour, shape, relation or background.
    """
    rng = random.Random(seed)
    found: dict[tuple[str, ...], tuple[Scene, str]] = {}
    while len(found) < n:
        scene = random_scene(rng, HELD_OUT)
        found.setdefault(scene.facts, (scene, caption(scene, rng)))
    return list(found.values())


def caption(scene: Scene, rng: random.Random | None = None, told: Told | None = None) -> str:
    """An English caption; without `rng` in the plainest wording, without `told` telling all."""
    told = told or Told()
    items = [_item(item, rng, told) for item in scene.items]
    turned = len(items) == 2 and rng is not None and rng.random() < 0.3
    if turned:
        items.reverse()
    if len(items) == 1:
        text = _pick(rng, _FRAMES).format(items[0])
    elif scene.relation is not None and told.relation:
        words = _TURNED[scene.relation] if turned else _SAME[scene.relation]
        text = _pick(rng, _FRAMES_OF_TWO).format(f"{items[0]} {_pick(rng, words)} {items[1]}")
    else:
        text = _pick(rng, _FRAMES_OF_TWO).format(f"{items[0]} and {items[1]}")
    if told.background:
        text = _pick(rng, _GROUNDS).format(text, g=_word(scene.background, rng))
    stop = "." if rng is not None and rng.random() < 0.15 else ""
    return text + stop


def _item(item: Item, rng: random.Random | None, told: Told) -> str:
    words = [_word(item.size, rng)] if told.size else []
    words += [_word(item.colour, rng)] if told.colour else []
    words += [_word(item.shape, rng) if told.shape else "shape"]
    if rng is None or rng.random() < 0.8:
        words.insert(0, "an" if words[0][0] in "aeiou" else "a")
    return " ".join(words)


def _word(word: str, rng: random.Random | None) -> str:
    return _pick(rng, _SAME.get(word, [word]))


def _pick(rng: random.Random | None, words: Sequence[str]) -> str:
    return words[0] if rng is None else rng.choice(words)


def render(scene: Scene, size: int = 224) -> Image.Image:
    """The picture of a scene: RGB, size x size pixels, smooth edges, the same for the same seed."""
    edge = max(3, 256 // size) * size  # Drawn larger and shrunk: Pillow's edges are jagged.
    ground, shapes = _drawing(scene, edge)
    picture = Image.new("RGB", (edge, edge), ground)
    draw = ImageDraw.Draw(picture)
    for points, shade in shapes:
        draw.polygon(points, fill=shade, outline=shade)  # The outline closes the ring's seam.
    return picture.resize((size, size), Image.Resampling.BOX)


def item_map(scene: Scene, size: int) -> Image.Image:
    """Where the items are: "L", size x size pixels of 0 for ground, 1 for first, 2 for second."""
    picture = Image.new("L", (size, size), 0)
    for number, (points, _) in enumerate(_drawing(scene, size)[1], start=1):
        ImageDraw.Draw(picture).polygon(points, fill=number, outline=number)
    return picture


def _drawing(scene: Scene, edge: int) -> tuple[Colour, list[tuple[list[Point], Colour]]]:
    """The ground's shade, and per item its polygon in pixels and its shade."""
    rng = random.Random(scene.seed)
    ground = _shade(scene.background, rng)
    radii = [_radius(item.size, len(scene.items) == 1, rng) for item in scene.items]
    shapes = []
    for item, radius, (x, y) in zip(scene.items, radii, _places(scene, radii, rng), strict=True):
        points = outline(item.shape, x * edge, y * edge, radius * edge, rng.uniform(-8, 8))
        shapes.append((points, _shade(item.colour, rng)))
    return ground, shapes


def _radius(size: str, alone: bool, rng: random.Random) -> float:
    return rng.uniform(*(LARGE_ALONE if alone and size == "large" else RADII[size]))


def _places(scene: Scene, radii: Sequence[float], rng: random.Random) -> list[tuple[float, float]]:
    """A centre per item, as shares of the edge: nothing overlaps, nothing leaves the picture."""
    if len(radii) == 1:
        room = 0.5 - radii[0] - 0.02
        return [(0.5 + rng.uniform(-room, room), 0.5 + rng.uniform(-room, room))]
    free = 1 - 2 * sum(radii)
    before, between = sorted(rng.uniform(0.1, 0.9) for _ in range(2))
    one = free * before + radii[0]
    two = free * between + 2 * radii[0] + radii[1]
    # The items may stand a little askew, never so far that the other relation would fit too.
    lean = 0.2 * (two - one)
    room = 0.5 - max(radii) - 0.02
    across = 0.5 + rng.uniform(-room, room)
    askew = [min(max(across + rng.uniform(-lean, lean), 0.5 - room), 0.5 + room) for _ in radii]
    along = list(zip((one, two), askew, strict=True))
    return along if scene.relation == "left of" else [(x, y) for y, x in along]


def _shade(colour: str, rng: random.Random) -> Colour:
    share = rng.random()
    red, green, blue = (
        min(max(round(a + share * (b - a) + rng.uniform(-8, 8)), 0), 255) for a, b in zip(*SHADES[colour], strict=True)
    )
    return red, green, blue


# Shapes are the hardest to learn, so they are asked for most often.
_EDITS = ("background", "size", "colour", "shape", "shape", "shape", "order", "relation", "swap")


def variant(scene: Scene, rng: random.Random, pairs: frozenset[Pair] = TRAINED) -> Scene:
    """A scene that differs a little: the hardest kind to tell apart."""
    while True:
        changed = replace(_edit(scene, rng), seed=rng.getrandbits(32))
        shown = all(item.colour != changed.background for item in changed.items)
        known = all((item.colour, item.shape) in pairs for item in changed.items)
        if shown and known and changed.facts != scene.facts:
            return changed


def _edit(scene: Scene, rng: random.Random) -> Scene:
    other = random_scene(rng, PAIRS, alone=0.0)
    first, second = scene.first, scene.second
    kind = rng.choice(_EDITS)
    if kind == "background":
        return replace(scene, background=other.background)
    if second is not None and kind == "order":
        return replace(scene, first=second, second=first)
    if second is not None and kind == "relation":
        return replace(scene, relation=other.relation)
    if second is not None and kind == "swap":
        what = rng.choice(("size", "colour", "shape"))
        mine, yours = {what: getattr(first, what)}, {what: getattr(second, what)}
        return replace(scene, first=replace(first, **yours), second=replace(second, **mine))
    what = kind if kind in ("size", "colour", "shape") else "size"
    news = {what: getattr(other.first, what)}
    if second is not None and rng.random() < 0.5:
        return replace(scene, second=replace(second, **news))
    return replace(scene, first=replace(first, **news))
