"""Outlines of the twelve shapes: unit polygons, x to the right, y down, about one unit around 0."""

import math

Point = tuple[float, float]


def _arc(start: float, stop: float, x: float = 1.0, y: float = 1.0, at: float = 0.0) -> list[Point]:
    """Points on an ellipse with half-axes x and y around (at, 0); the angles are in degrees."""
    steps = 40
    angles = [math.radians(start + (stop - start) * step / steps) for step in range(steps + 1)]
    return [(at + x * math.cos(angle), y * math.sin(angle)) for angle in angles]


def _star() -> list[Point]:
    radii = [1.05 if corner % 2 == 0 else 0.43 for corner in range(10)]
    angles = [math.radians(36 * corner - 90) for corner in range(10)]
    return [(r * math.cos(a), r * math.sin(a)) for r, a in zip(radii, angles, strict=True)]


def _heart() -> list[Point]:
    points = []
    for step in range(48):
        t = math.tau * step / 48
        height = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append((16 * math.sin(t) ** 3 / 16.5, -height / 16.5))
    return points


def _cross(arm: float = 0.34) -> list[Point]:
    quarter = [(arm, -1.0), (arm, -arm), (1.0, -arm)]
    points = []
    for _ in range(4):
        points += quarter
        quarter = [(-y, x) for x, y in quarter]
    return points


OUTLINES: dict[str, list[Point]] = {
    "circle": _arc(0, 360),
    "square": [(-0.82, -0.82), (0.82, -0.82), (0.82, 0.82), (-0.82, 0.82)],
    "triangle": [(0.0, -0.95), (0.97, 0.78), (-0.97, 0.78)],
    "star": _star(),
    "heart": _heart(),
    "diamond": [(0.0, -1.05), (0.64, 0.0), (0.0, 1.05), (-0.64, 0.0)],
    "cross": _cross(),
    "ring": _arc(0, 360) + _arc(360, 0, 0.55, 0.55),
    "crescent": _arc(60, 300) + _arc(260.2, 99.8, 0.879, 0.879, at=0.65),
    "arrow": [
        (-1.0, -0.28), (0.1, -0.28), (0.1, -0.82), (1.0, 0.0),
        (0.1, 0.82), (0.1, 0.28), (-1.0, 0.28),
    ],
    "oval": _arc(0, 360, 1.05, 0.58),
    "hourglass": [
        (-0.78, -0.95), (0.78, -0.95), (0.12, 0.0),
        (0.78, 0.95), (-0.78, 0.95), (-0.12, 0.0),
    ],
}  # fmt: skip


def outline(shape: str, x: float, y: float, radius: float, degrees: float) -> list[Point]:
    """The polygon of a shape around (x, y), turned clockwise; lengths in the caller's unit."""
    cos = radius * math.cos(math.radians(degrees))
    sin = radius * math.sin(math.radians(degrees))
    return [(x + u * cos - v * sin, y + u * sin + v * cos) for u, v in OUTLINES[shape]]
