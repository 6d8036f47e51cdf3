"""The parent's side: a process for each video, which ends with it.

    decode ─┬─ the file ────→ standard input   (memory without a name, or the caller's own file)
            ├─ the job ─────→ command line
            └─ poll, read ←── standard output  (see messages.py)

The child may be slow, crash, or say anything: each wait counts against the video's time, each length is checked, and
whatever happens the process is killed and waited for.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import select
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from multi2vec.engine.errors import BadInput, ClientError, Overloaded, TooLarge, Unsupported
from multi2vec.engine.video.limits import BYTES_LIMIT, FRAMES_LIMIT, PIXELS_LIMIT, SECONDS_LIMIT, VideoLimits
from multi2vec.engine.video.messages import LENGTH, LONGEST, Head, Job, Turn, answer
from multi2vec.engine.video.sampling import Sampling

Pixels = npt.NDArray[np.uint8]

# What an unprivileged process may have: fewer turns for a frame of megabytes.
PIPE_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Frame:
    """A frame as it is shown: RGB, uint8 (height, width, 3); seconds after the first frame; its number from 0; `of` is
    how many are wanted."""

    pixels: Pixels
    seconds: float
    index: int
    of: int = 1


def decode(data: bytes | Path, sampling: Sampling, limits: VideoLimits = VideoLimits()) -> Iterator[Frame]:
    """The wanted frames of a video, one at a time, in the order in which they are shown. For a worker thread: it waits.

    A frame that cannot be decoded is replaced by the next one that can, or else by the one before. The process lives as
    long as the iterator: who leaves early closes that. Raises `BadInput` when no frame can be had, `TooLarge` when
    something is over a limit, `Overloaded` when no process can be started, and `Unsupported` without `av`.
    """
    if not is_available():
        raise Unsupported(
            "there is no video decoder here: pip install 'multi2vec-openvino[video]' brings one, and images whose tags "
            "end in -video have one (./build_images.sh TAG --video)"
        )
    if sampling.indexes is not None and len(sampling.indexes) > limits.frames:
        raise TooLarge(
            f"{len(sampling.indexes)} frames of a video are wanted, more than {limits.frames}", limit=FRAMES_LIMIT
        )
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(_descriptor(data, limits))
        child = stack.enter_context(_Child(file, Job(sampling, limits)))
        yield from child.frames()


def is_available() -> bool:
    """Whether there is a decoder."""
    return importlib.util.find_spec("av") is not None


@contextlib.contextmanager
def _descriptor(data: bytes | Path, limits: VideoLimits) -> Iterator[int]:
    """The video as a descriptor that can be read from its beginning."""
    descriptor = _opened(data) if isinstance(data, Path) else os.memfd_create("video")
    try:
        if isinstance(data, bytes):
            _check_bytes(len(data), limits)
            _fill(descriptor, data)
        else:
            _check_file(descriptor, data, limits)
        yield descriptor
    finally:
        os.close(descriptor)


def _opened(path: Path) -> int:
    try:
        # A pipe would otherwise wait here for somebody who writes to it.
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None


def _check_file(descriptor: int, path: Path, limits: VideoLimits) -> None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise BadInput(f"{path} is not a file")
    _check_bytes(status.st_size, limits)


def _check_bytes(number: int, limits: VideoLimits) -> None:
    if number == 0:
        raise BadInput("a video is empty; send the file's bytes")
    if number > limits.bytes:
        raise TooLarge(f"a video has {number} bytes, more than {limits.bytes}", limit=BYTES_LIMIT)


def _fill(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


class _Child:
    """The process, from its start to its certain end."""

    def __init__(self, file: int, job: Job) -> None:
        self._limits = job.limits
        self._waited = 0.0
        try:
            self._process = _start(file, job)
        except OSError as error:
            raise Overloaded(f"a video cannot be decoded now: no process can be started ({error.strerror})") from error
        assert self._process.stdout is not None
        self._output = self._process.stdout.fileno()
        self._poll = select.poll()
        self._poll.register(self._output, select.POLLIN)
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._output, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def frames(self) -> Iterator[Frame]:
        """What the child gives. Raises what it says, or what its end means."""
        given = 0
        while (head := self._head()) is not None:
            given += 1
            if given > self._limits.frames:
                raise self._nonsense()
            pixels = np.empty((head.height, head.width, 3), dtype=np.uint8)
            if not self._fill(pixels.data.cast("B")):
                self._check_end()
                raise self._nonsense()
            yield Frame(_upright(pixels, head.turn), head.seconds, head.index, head.of)
        if not given:
            raise self._nonsense()

    def _head(self) -> Head | None:
        """What is told of the next frame; None at the end."""
        length = bytearray(LENGTH.size)
        if not self._fill(memoryview(length)):
            self._check_end()
            return None
        (number,) = LENGTH.unpack(length)
        text = bytearray(min(number, LONGEST))
        self._fill(memoryview(text))
        try:
            said = answer(bytes(text))
        except ValueError:
            raise self._nonsense() from None
        if isinstance(said, ClientError):
            raise said
        return self._checked(said)

    def _checked(self, head: Head) -> Head:
        if head.width < 1 or head.height < 1:
            raise self._nonsense()
        if head.width * head.height > self._limits.pixels:
            size = f"{head.width}×{head.height} pixels"
            raise TooLarge(f"a video has {size}, more than {self._limits.pixels}", limit=PIXELS_LIMIT)
        return head

    def _fill(self, buffer: memoryview) -> bool:
        """Reads as much as there is room for; False if the child's answer ends before."""
        while buffer:
            self._wait()
            number = os.readv(self._output, [buffer])
            if number == 0:
                return False
            buffer = buffer[number:]
        return True

    def _wait(self) -> None:
        """Until there is something to read. What the caller does between two frames does not count."""
        begin = time.monotonic()
        rest = self._limits.seconds - self._waited
        if rest <= 0 or not self._poll.poll(rest * 1000):
            raise self._too_slow()
        self._waited += time.monotonic() - begin

    def _check_end(self) -> None:
        """The child's output has ended; raises if its work had not."""
        try:
            code = self._process.wait(max(0.1, self._limits.seconds - self._waited))
        except subprocess.TimeoutExpired:
            raise self._too_slow() from None
        if code == -signal.SIGXCPU:
            raise self._too_slow()
        if code < 0:
            raise BadInput(f"a video cannot be decoded: the decoder was ended by {signal.Signals(-code).name}")
        if code > 0:
            raise self._nonsense()

    def _too_slow(self) -> TooLarge:
        return TooLarge(
            f"decoding a video takes longer than {self._limits.seconds:g} seconds; shorter or smaller ones are faster",
            limit=SECONDS_LIMIT,
        )

    def _nonsense(self) -> BadInput:
        return BadInput("a video cannot be decoded: the decoder failed on it; other files may work")


def _start(file: int, job: Job) -> subprocess.Popen[bytes]:
    """Not a fork of this process, which has many threads, but a new program; and in a session of its own, so that a
    terminal's Ctrl-C is the parent's affair."""
    return subprocess.Popen(  # noqa: S603
        _command(job),
        stdin=file,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        cwd="/",
        env=_environment(),
        start_new_session=True,
    )


def _command(job: Job) -> list[str]:
    # -S and -s: what they would add to the path is in PYTHONPATH already; -P: not the folder that this runs in.
    return [sys.executable, "-S", "-s", "-P", "-B", "-m", "multi2vec.engine.video.child", job.to_json()]


def _environment() -> dict[str, str]:
    """The same packages as here, and none of the secrets that environments hold."""
    folders = [os.path.abspath(folder) for folder in sys.path]
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return {"PYTHONPATH": os.pathsep.join(folders), **kept}


def _upright(pixels: Pixels, turn: Turn) -> Pixels:
    if turn.swap:
        pixels = pixels.swapaxes(0, 1)
    if turn.mirror_columns:
        pixels = pixels[:, ::-1]
    if turn.mirror_rows:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
