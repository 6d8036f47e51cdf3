"""The process that reads one video file: `python -m multi2vec.engine.video.child JOB < file`.

It goes through the file twice. The first pass looks at packets only, which is cheap, and learns when each frame is
shown; so the choice needs neither a duration nor a frame count, and frames that are stored in another order than they
are shown do not matter. The second pass decodes the wanted frames, each from the key frame before it; packets between
them are left out. Seeking would do the same by the file's index, which need not be there, nor be right.

The parent may end this process at any time.
"""

from __future__ import annotations

import io
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import cast

import av
import av.error

# Imported by `av` only when a file has such a stream, and by then nothing can be opened any more.
import av.subtitles.codeccontext
import av.subtitles.stream
from av.container import InputContainer
from av.packet import Packet
from av.sidedata.sidedata import SideDataContainer
from av.stream import Discard, Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from multi2vec.engine.errors import BadInput, ClientError, TooLarge
from multi2vec.engine.video.confine import confine
from multi2vec.engine.video.limits import DECODED_LIMIT, MEMORY_LIMIT, PACKETS_LIMIT, PIXELS_LIMIT, VideoLimits
from multi2vec.engine.video.messages import Head, Job, Turn, failure
from multi2vec.engine.video.plan import Plan, Stamp
from multi2vec.engine.video.sampling import choose

# FFmpeg's names. No playlists, nothing that consists of several files, no pictures, no raw streams.
FORMATS = ("mov", "matroska", "avi", "mpegts", "mpeg", "flv")
FORMAT_NAMES = "MP4, MOV, 3GP, MKV, WebM, AVI, MPEG-TS, MPEG-PS, FLV"
DECODERS = ("h264", "hevc", "vp8", "vp9", "libdav1d", "mpeg4", "mpeg2video", "mpeg1video", "mjpeg", "h263", "flv")
DECODER_NAMES = "H.264, H.265, VP8, VP9, AV1, MPEG-4, MPEG-2, MPEG-1, Motion JPEG or H.263"

BUFFER = 1024 * 1024


def main() -> None:
    """Writes the frames that the job wants to standard output, or why there are none."""
    output = io.FileIO(1, "w")
    job = Job.from_json(sys.argv[1])
    confine(job.limits)
    try:
        for head, pixels in frames(job):
            _write(output, head.to_bytes())
            _write(output, pixels)
    except BrokenPipeError:
        # The parent wants no more.
        return
    except ClientError as error:
        _write(output, failure(error))
    except MemoryError:
        _write(output, failure(_no_memory(job.limits)))
    except Exception as error:
        # A file that FFmpeg reads, but `av` cannot hold.
        _write(output, failure(BadInput(f"a video cannot be decoded ({type(error).__name__}); other files may work")))


def frames(job: Job) -> Iterator[tuple[Head, bytes]]:
    """The wanted frames of the file on standard input, in the order in which they are shown."""
    with _open(job.limits) as container:
        stream = _pictures(container, job.limits)
        plan = Plan.of(_stamps(container, stream, job.limits), stream.time_base or Fraction(1))
    if not plan.times:
        raise BadInput("a video has no frames: it is empty or cut off, or its pictures are in another file")
    chosen = choose(job.sampling, plan.seconds, plan.end, job.limits.frames)
    with _open(job.limits) as container:
        wanted = {plan.times[index] for index in chosen}
        cursor = Cursor(container, _pictures(container, job.limits), plan, wanted, job.limits)
        for index in chosen:
            head, pixels = cursor.frame(index)
            yield replace(head, of=len(chosen)), pixels


def _open(limits: VideoLimits) -> InputContainer:
    """The file on standard input, from its beginning."""
    file = io.FileIO(0, "r", closefd=False)
    file.seek(0)
    whitelists = {
        "format_whitelist": ",".join(FORMATS),
        "codec_whitelist": ",".join(DECODERS),
        "protocol_whitelist": "-",
    }
    try:
        return av.open(
            file,
            "r",
            options={"max_pixels": str(limits.pixels)},
            container_options=whitelists,
            buffer_size=BUFFER,
            io_open=_open_no_other,
            metadata_errors="ignore",
        )
    except av.error.MemoryError:
        raise
    except (av.FFmpegError, OSError, ValueError):
        raise BadInput(f"a video cannot be opened: it is broken, or none of {FORMAT_NAMES}") from None


def _open_no_other(url: str, flags: int, options: dict[str, str]) -> object:
    """What FFmpeg would read besides the file itself."""
    raise PermissionError(url)


def _pictures(container: InputContainer, limits: VideoLimits) -> VideoStream:
    """The first stream of moving pictures; the others are left out when packets are read."""
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        raise BadInput("a video has no moving pictures, only sound, text or a still cover")
    stream = streams[0]
    context = stream.codec_context
    if context is None or context.codec.name not in DECODERS:
        name = "an unknown codec" if context is None else context.codec.name
        raise BadInput(f"a video is coded in {name}; it can be {DECODER_NAMES}")
    _check_size(context.width, context.height, limits)
    for other in container.streams:
        other.discard = Discard.none if other.index == stream.index else Discard.all
    context.thread_count = 1
    context.options = {"max_pixels": str(limits.pixels)}
    return stream


def _check_size(width: int, height: int, limits: VideoLimits) -> None:
    if width * height > limits.pixels:
        raise TooLarge(f"a video has {width}×{height} pixels, more than {limits.pixels}", limit=PIXELS_LIMIT)


def _stamps(container: InputContainer, stream: VideoStream, limits: VideoLimits) -> Iterator[Stamp]:
    """What the stream's packets say of themselves."""
    is_vp8 = stream.codec_context.codec.name == "vp8"
    for number, packet in enumerate(_packets(container, stream)):
        if number >= limits.packets:
            raise TooLarge(f"a video has more than {limits.packets} packets", limit=PACKETS_LIMIT)
        is_hidden = packet.is_discard or (is_vp8 and not _is_shown_vp8(packet))
        yield Stamp(_time(packet), packet.duration, packet.is_keyframe, is_hidden)


def _time(packet: Packet[VideoStream]) -> int | None:
    return packet.dts if packet.pts is None else packet.pts


def _is_shown_vp8(packet: Packet[VideoStream]) -> bool:
    """Bit 4 of a VP8 frame's first byte is `show_frame` (RFC 6386, 9.1)."""
    return bool(memoryview(packet)[0] & 0x10)


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """The stream's packets as they are stored, as far as the file can be read."""
    try:
        for packet in container.demux(stream):
            # An empty packet asks the decoder for what it still holds; that is for the end.
            if packet.size:
                yield packet
    except av.error.MemoryError:
        raise
    except av.FFmpegError:
        return


class Cursor:
    """Goes through the stream once, forwards, and decodes what leads to the wanted frames."""

    def __init__(
        self, container: InputContainer, stream: VideoStream, plan: Plan, wanted: set[int], limits: VideoLimits
    ) -> None:
        self._packets = _packets(container, stream)
        self._context = stream.codec_context
        self._plan = plan
        self._wanted = wanted
        self._limits = limits
        # AVI stores no times. What FFmpeg makes of the packets' order is wrong for frames that are shown in another
        # one; then frames are counted as the decoder gives them, from the first.
        self._is_timed = container.format.name != "avi" or not self._context.has_b_frames
        # How many packets were read, and how many frames decoded.
        self._position = 0
        self._decoded = 0
        self._is_at_end = False
        # What the decoder has given, and the index of the first of it if that does not say its time.
        self._waiting: deque[VideoFrame] = deque()
        self._expected = 0
        self._frame: VideoFrame | None = None
        self._index = -1

    def frame(self, index: int) -> tuple[Head, bytes]:
        """The frame with that index, not before the last one that was asked for. Where it cannot be decoded, the next
        one that can, or else the one before."""
        if self._index < index:
            self._skip_to(*self._plan.key_before(index))
        while self._index < index and self._step():
            pass
        if self._frame is None:
            raise BadInput(
                "no frame of a video can be decoded: it is broken, or its frames have more than "
                f"{self._limits.pixels} pixels"
            )
        return self._finished(self._frame, self._index)

    def _skip_to(self, expected: int, position: int) -> None:
        """Leaves out the packets up to that one, which holds the frame with that index, unless they were read."""
        if position <= self._position or not self._is_timed:
            return
        while self._position < position and next(self._packets, None) is not None:
            self._position += 1
        self._context.flush_buffers()
        self._waiting.clear()
        self._expected = expected

    def _step(self) -> bool:
        """Goes to the next frame; False if there is none."""
        while not self._waiting:
            if self._is_at_end:
                return False
            self._waiting.extend(self._decode(next(self._packets, None)))
        self._frame = self._waiting.popleft()
        # Broken streams give frames at times that no packet has.
        known = self._plan.index(self._frame.pts) if self._is_timed else None
        self._index = min(self._expected, len(self._plan.times) - 1) if known is None else known
        self._expected = self._index + 1
        return True

    def _decode(self, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        """The frames that the decoder gives for a packet, or at the end; none for one that is broken."""
        self._position += 1
        self._is_at_end = packet is None
        if packet is not None and self._is_timed:
            # Of frames that are not wanted, those to which no other refers need not be decoded: often half of them.
            self._context.skip_frame = "DEFAULT" if _time(packet) in self._wanted else "NONREF"
        try:
            given = self._context.decode(packet)
        except av.error.MemoryError:
            raise
        except av.FFmpegError:
            return []
        self._decoded += len(given)
        if self._decoded > self._limits.decoded:
            raise TooLarge(
                f"more than {self._limits.decoded} frames of a video must be decoded to reach those that are wanted",
                limit=DECODED_LIMIT,
            )
        return given

    def _finished(self, frame: VideoFrame, index: int) -> tuple[Head, bytes]:
        _check_size(frame.width, frame.height, self._limits)
        seconds = self._plan.seconds[index] - self._plan.seconds[0]
        return Head(index, seconds, frame.width, frame.height, _turn(frame)), _rgb(frame)


def _turn(frame: VideoFrame) -> Turn:
    """How the file wants the frame to be turned."""
    try:
        # The types that `av` comes with have one item here; it is all of them.
        found = cast(SideDataContainer, frame.side_data).get("DISPLAYMATRIX")
    except ValueError:
        # Beside it is something that `av` has no name for. It knows the angle nevertheless.
        return Turn.from_degrees(frame.rotation)
    return Turn() if found is None else Turn.from_matrix(bytes(found))


def _rgb(frame: VideoFrame) -> bytes:
    """The frame's pixels, height × width × 3 bytes."""
    try:
        plane = frame.reformat(format="rgb24", threads=1).planes[0]
    except av.error.MemoryError:
        raise
    except (av.FFmpegError, ValueError) as error:
        raise BadInput("a video's frame cannot be converted to RGB") from error
    pixels, length = memoryview(plane), frame.width * 3
    if plane.line_size == length:
        return bytes(pixels[: length * frame.height])
    rows = (pixels[row * plane.line_size : row * plane.line_size + length] for row in range(frame.height))
    return b"".join(rows)


def _no_memory(limits: VideoLimits) -> TooLarge:
    return TooLarge(f"decoding a video needs more than {limits.memory} bytes", limit=MEMORY_LIMIT)


def _write(output: io.FileIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[output.write(rest) :]


if __name__ == "__main__":
    main()
