"""What a video may cost; and the parent's side, whatever the process that it has started does."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from multi2vec.engine.errors import BadInput, ClientError, Overloaded, TooLarge
from multi2vec.engine.video import decoder
from multi2vec.engine.video.decoder import Frame, decode
from multi2vec.engine.video.limits import VideoLimits
from multi2vec.engine.video.messages import LENGTH, Head
from multi2vec.engine.video.sampling import Sampling
from tests.engine.video.conftest import children
from tests.engine.video.films import film, picture

ONE = Sampling(count=1)


def frames(data: bytes | Path = b"x", sampling: Sampling = ONE, **limits: Any) -> list[Frame]:
    return list(decode(data, sampling, VideoLimits(**limits)))


@pytest.mark.parametrize(
    ("limits", "sampling", "message"),
    [
        ({"bytes": 1000}, ONE, r"a video has \d+ bytes, more than 1000 \(MAX_VIDEO_BYTES\)"),
        ({"packets": 39}, ONE, r"a video has more than 39 packets \(MAX_VIDEO_PACKETS\)"),
        ({"pixels": 1000}, ONE, r"a video has 128×96 pixels, more than 1000 \(MAX_VIDEO_PIXELS\)"),
        ({"decoded": 20}, Sampling(every=1), r"more than 20 frames .* be decoded .* \(MAX_VIDEO_DECODED_FRAMES\)"),
        ({"frames": 39}, Sampling(every=1), r"40 frames of a video are wanted, more than 39 \(MAX_VIDEO_FRAMES\)"),
        ({"frames": 2}, Sampling(indexes=(0, 1, 2)), r"3 frames .* are wanted, more than 2 \(MAX_VIDEO_FRAMES\)"),
        ({"seconds": 0.01}, ONE, r"longer than 0\.01 seconds; .* \(MAX_VIDEO_DECODE_SECONDS\)"),
    ],
)
def test_each_limit(limits: dict[str, Any], sampling: Sampling, message: str) -> None:
    with pytest.raises(TooLarge, match=message):
        frames(film(), sampling, **limits)


def test_at_its_limits_a_video_is_read() -> None:
    data = film()
    assert (
        len(frames(data, Sampling(every=1), bytes=len(data), packets=40, pixels=128 * 96, decoded=40, frames=40)) == 40
    )


def test_memory() -> None:
    large = film("matroska", "mjpeg", times=range(3), pictures=[picture(number, 4096, 2304) for number in range(3)])
    with pytest.raises(TooLarge, match=r"decoding a video needs more than 150000000 bytes \(MAX_VIDEO_MEMORY_BYTES\)"):
        frames(large, memory=150_000_000)
    assert len(frames(large, Sampling(every=1))) == 3


def test_so_little_memory_that_not_even_the_libraries_work() -> None:
    with pytest.raises(ClientError, match="a video"):
        frames(film(), memory=1_000_000)


class Pretender:
    """Another program in place of the decoder."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch

    def __call__(self, code: str) -> None:
        self._patch.setattr(decoder, "_command", lambda job: [sys.executable, "-S", "-c", code])


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Pretender:
    return Pretender(monkeypatch)


WRITE = "import os; write = lambda data: os.write(1, data); "
HEAD = Head(0, 0.0, 2, 2).to_bytes()


def test_silence(pretend: Pretender) -> None:
    pretend("import time; time.sleep(600)")
    begin = time.monotonic()
    with pytest.raises(TooLarge, match="MAX_VIDEO_DECODE_SECONDS"):
        frames(seconds=0.5)
    assert time.monotonic() - begin < 10


def test_drops(pretend: Pretender) -> None:
    """Something comes all the time, but never all of it."""
    pretend(f"{WRITE}import time\nwrite({HEAD!r})\nwhile True: write(b'x'); time.sleep(0.2)")
    begin = time.monotonic()
    with pytest.raises(TooLarge, match="MAX_VIDEO_DECODE_SECONDS"):
        frames(seconds=1.0)
    assert time.monotonic() - begin < 10


def test_an_output_that_is_closed_by_a_process_that_goes_on(pretend: Pretender) -> None:
    pretend("import os, time; os.close(1); time.sleep(600)")
    with pytest.raises(TooLarge, match="MAX_VIDEO_DECODE_SECONDS"):
        frames(seconds=0.5)


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGBUS", "SIGKILL", "SIGILL", "SIGFPE"])
def test_a_crash(pretend: Pretender, name: str) -> None:
    pretend(f"import os, signal; os.kill(os.getpid(), signal.{name})")
    with pytest.raises(BadInput, match=f"a video cannot be decoded: the decoder was ended by {name}"):
        frames()


def test_a_crash_in_the_middle_of_a_frame(pretend: Pretender) -> None:
    pretend(f"{WRITE}write({HEAD!r} + b'123'); os.kill(os.getpid(), 11)")
    with pytest.raises(BadInput, match="SIGSEGV"):
        frames()


def test_too_much_cpu_time(pretend: Pretender) -> None:
    pretend("import os, signal; os.kill(os.getpid(), signal.SIGXCPU)")
    with pytest.raises(TooLarge, match="MAX_VIDEO_DECODE_SECONDS"):
        frames()


def lengthened(text: bytes) -> bytes:
    return LENGTH.pack(len(text)) + text


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\xff",
        b"\xff\xff\xff\xff" + bytes(10_000),
        lengthened(b"{}"),
        lengthened(b'{"error": "SystemExit", "sentence": "x", "limit": ""}'),
        Head(0, 0.0, 0, 5).to_bytes(),
        Head(0, 0.0, -1, -5).to_bytes(),
        HEAD + bytes(11),
        (HEAD + bytes(12)) * 300,
    ],
)
def test_nonsense(pretend: Pretender, said: bytes) -> None:
    pretend(f"{WRITE}write({said!r})")
    with pytest.raises(BadInput, match="a video cannot be decoded: the decoder failed on it"):
        frames()


def test_more_pixels_than_are_allowed(pretend: Pretender) -> None:
    pretend(f"{WRITE}write({Head(0, 0.0, 1 << 20, 1 << 20).to_bytes()!r})")
    with pytest.raises(TooLarge, match="MAX_VIDEO_PIXELS"):
        frames()


def test_an_exit_status(pretend: Pretender) -> None:
    pretend(f"{WRITE}write({HEAD!r} + bytes(12)); raise SystemExit(3)")
    with pytest.raises(BadInput, match="the decoder failed on it"):
        frames()


def test_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "_command", lambda job: ["/nonexistent"])
    with pytest.raises(Overloaded, match="no process can be started"):
        frames()


def test_what_the_caller_does_between_frames_does_not_count(pretend: Pretender) -> None:
    pretend(f"{WRITE}write({HEAD!r} + bytes(12)); write({HEAD!r} + bytes(12))")
    running = decode(b"x", Sampling(count=2), VideoLimits(seconds=5.0))
    next(running)
    begin = time.monotonic()
    while time.monotonic() - begin < 6:
        time.sleep(0.5)
    assert len(list(running)) == 1


def fail_at_the_first(video: Iterator[Frame]) -> None:
    for _ in video:
        raise ZeroDivisionError


def test_the_caller_fails() -> None:
    before = children()
    video = decode(film(), Sampling(every=1))
    with pytest.raises(ZeroDivisionError):
        fail_at_the_first(video)
    # Whoever holds the iterator may go on.
    assert children() > before
    assert len(list(video)) == 39


def test_a_parent_that_is_killed_leaves_nobody_behind(tmp_path: Path) -> None:
    """The process ends as soon as it writes to nobody, without anyone who would end it."""
    (tmp_path / "film").write_bytes(film("matroska", "mjpeg", pictures=[picture(n, 1024, 768) for n in range(40)]))
    code = (
        "import sys, time, pathlib\n"
        "from multi2vec.engine.video import decoder\n"
        "start = decoder._start\n"
        "def told(*job):\n"
        "    process = start(*job)\n"
        "    print(process.pid, flush=True)\n"
        "    return process\n"
        "decoder._start = told\n"
        f"running = decoder.decode(pathlib.Path({str(tmp_path / 'film')!r}), decoder.Sampling(every=1))\n"
        "next(running)\n"
        "print('one', flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert parent.stdout.readline() == "one\n"
        parent.kill()
    begin = time.monotonic()
    while is_running(pid):
        assert time.monotonic() - begin < 30
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "fifo")
    return tmp_path / "fifo"


def test_what_is_no_file(tmp_path: Path, fifo: Path) -> None:
    (tmp_path / "empty").touch()
    for path, message in [
        (tmp_path / "none", "none cannot be read: No such file"),
        (tmp_path, "is not a file"),
        (fifo, "fifo is not a file"),
        (Path("/dev/zero"), "is not a file"),
        (tmp_path / "empty", "a video is empty"),
    ]:
        with pytest.raises(BadInput, match=message):
            frames(path)


def confined(code: str) -> str:
    """What a process prints that has confined itself."""
    start = (
        "import os, sys, socket, subprocess, threading, resource\n"
        "from multi2vec.engine.video.confine import confine\n"
        "from multi2vec.engine.video.limits import VideoLimits\n"
        "def said(call):\n"
        "    try: return call()\n"
        "    except (OSError, MemoryError) as error: return type(error).__name__\n"
        "confine(VideoLimits(seconds=1.5, memory=500_000_000))\n"
    )
    command = [sys.executable, "-c", f"{start}print(said(lambda: {code}))"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("open('/etc/passwd')", "OSError"),
        ("socket.socket()", "OSError"),
        ("subprocess.run(['true'])", "OSError"),
        ("os.pipe()", "OSError"),
        ("len(bytes(600_000_000))", "MemoryError"),
        ("len(bytes(100_000_000))", "100000000"),
        ("resource.getrlimit(resource.RLIMIT_CPU)", "(3, 3)"),
        ("resource.getrlimit(resource.RLIMIT_CORE)", "(0, 0)"),
        ("resource.getrlimit(resource.RLIMIT_FSIZE)", "(0, 0)"),
        ("resource.getrlimit(resource.RLIMIT_NPROC)", "(0, 0)"),
    ],
)
def test_a_confined_process(code: str, said: str) -> None:
    assert confined(code) == said


def test_secrets_of_the_environment_stay_here(pretend: Pretender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "secret")
    pretend(f"{WRITE}write({HEAD!r} + (b'secret______' if 'API_KEY' in os.environ else b'____________'))")
    (frame,) = frames()
    assert frame.pixels.tobytes() == b"_" * 12
