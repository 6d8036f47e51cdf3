"""What the parent tells the child, and what the child answers.

    job      JSON, an argument of the command line; the file is the child's standard input
    answer   4 bytes: a length (big-endian); so many bytes of JSON: a frame's head, or a failure
             after a frame's head: height × width × 3 bytes, RGB

The answer ends where the last frame ends.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass
from typing import Any

from multi2vec.engine.errors import BadInput, ClientError, TooLarge, Unsupported
from multi2vec.engine.video.limits import VideoLimits
from multi2vec.engine.video.sampling import Sampling

LENGTH = struct.Struct(">I")
# Heads and failures are much shorter; a longer one is not the child's.
LONGEST = 4096

ERRORS = {kind.__name__: kind for kind in (BadInput, TooLarge, Unsupported)}


@dataclass(frozen=True)
class Job:
    sampling: Sampling
    limits: VideoLimits

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        parts = json.loads(text)
        if parts["sampling"]["indexes"] is not None:
            parts["sampling"]["indexes"] = tuple(parts["sampling"]["indexes"])
        return cls(Sampling(**parts["sampling"]), VideoLimits(**parts["limits"]))


@dataclass(frozen=True)
class Turn:
    """How stored pixels become upright ones: rows and columns change places first, then they are mirrored."""

    swap: bool = False
    mirror_columns: bool = False
    mirror_rows: bool = False

    @classmethod
    def from_matrix(cls, matrix: bytes) -> Turn:
        """From the nine int32 (a b u c d v x y w) of a display matrix, which shows the pixel at (p, q) at
        (a p + c q + x, b p + d q + y); angles between quarter turns become the nearest one.

        ISO/IEC 14496-12, 8.3.2; FFmpeg's libavutil/display.h.
        """
        a, b, _, c, d, *_ = struct.unpack("=9i", matrix)
        if abs(b) > abs(a):
            return cls(True, mirror_columns=c < 0, mirror_rows=b < 0)
        return cls(False, mirror_columns=a < 0, mirror_rows=d < 0)

    @classmethod
    def from_degrees(cls, degrees: int) -> Turn:
        """From an angle counter-clockwise; the nearest quarter turn."""
        quarters = round(degrees / 90) % 4
        return cls(quarters % 2 == 1, mirror_columns=quarters in (2, 3), mirror_rows=quarters in (1, 2))


@dataclass(frozen=True)
class Head:
    """What is told of a frame before its pixels: of how many it is one, their size as they are stored, and how to turn
    them."""

    index: int
    seconds: float
    width: int
    height: int
    turn: Turn = Turn()
    of: int = 1

    def to_bytes(self) -> bytes:
        return _framed({"frame": asdict(self)})


def failure(error: ClientError) -> bytes:
    """What the child answers when it can give no (more) frames."""
    return _framed({"error": type(error).__name__, "sentence": error.sentence, "limit": error.limit})


def answer(text: bytes) -> Head | ClientError:
    """What the child has said. Raises `ValueError` when that is no answer."""
    try:
        parts: dict[str, Any] = json.loads(text)
        if "error" in parts:
            return ERRORS[parts["error"]](str(parts["sentence"]), limit=str(parts["limit"]))
        frame = parts["frame"]
        return Head(
            int(frame["index"]),
            float(frame["seconds"]),
            int(frame["width"]),
            int(frame["height"]),
            Turn(**frame["turn"]),
            int(frame["of"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{text!r} is no answer") from error


def _framed(parts: dict[str, Any]) -> bytes:
    text = json.dumps(parts).encode()
    return LENGTH.pack(len(text)) + text
