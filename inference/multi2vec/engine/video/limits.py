"""What a video may cost, and the names of the settings that say so."""

from __future__ import annotations

from dataclasses import dataclass

BYTES_LIMIT = "MAX_VIDEO_BYTES"
PACKETS_LIMIT = "MAX_VIDEO_PACKETS"
PIXELS_LIMIT = "MAX_VIDEO_PIXELS"
DECODED_LIMIT = "MAX_VIDEO_DECODED_FRAMES"
FRAMES_LIMIT = "MAX_VIDEO_FRAMES"
SECONDS_LIMIT = "MAX_VIDEO_DECODE_SECONDS"
MEMORY_LIMIT = "MAX_VIDEO_MEMORY_BYTES"


@dataclass(frozen=True)
class VideoLimits:
    """What one video may cost. Each has a setting of its own, `…_LIMIT` above."""

    # Of the file.
    bytes: int = 128 * 1024 * 1024
    # Of the stream with the pictures; an hour has 216,000 at 60 a second.
    packets: int = 500_000
    # Of one frame: 36,864 macroblocks of 16×16, the most that H.264 has up to level 5.2. (4096×2304, also upright.)
    pixels: int = 9_437_184
    # Frames that are decoded to reach those that are wanted.
    decoded: int = 20_000
    # Frames that are wanted.
    frames: int = 256
    # How long the child may let its caller wait, all waiting together; also its CPU time.
    seconds: float = 60.0
    # The child's address space. Its libraries take 130 MB of it, a stream of the largest frames 400 more.
    memory: int = 1024 * 1024 * 1024
