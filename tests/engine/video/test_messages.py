"""What parent and child say to each other."""

import struct

import pytest

from multi2vec.engine.errors import BadInput, TooLarge
from multi2vec.engine.video.limits import VideoLimits
from multi2vec.engine.video.messages import LENGTH, Head, Job, Turn, answer, failure
from multi2vec.engine.video.sampling import Sampling

JOBS = [
    Job(Sampling(count=8), VideoLimits()),
    Job(
        Sampling(indexes=(3, 1)), VideoLimits(bytes=1, packets=2, pixels=3, decoded=4, frames=5, seconds=0.5, memory=6)
    ),
    Job(Sampling(fps=1.5, least=4, most=64, even=True, start=2.5, duration=0.1, at="ends"), VideoLimits()),
]


@pytest.mark.parametrize("job", JOBS)
def test_a_job_arrives_as_it_was_sent(job: Job) -> None:
    assert Job.from_json(job.to_json()) == job


def said(message: bytes) -> bytes:
    (length,) = LENGTH.unpack(message[: LENGTH.size])
    assert length == len(message) - LENGTH.size
    return message[LENGTH.size :]


def test_so_does_a_head() -> None:
    head = Head(3, 0.1, 640, 480, Turn(swap=True, mirror_rows=True), of=7)
    assert answer(said(head.to_bytes())) == head


@pytest.mark.parametrize("error", [BadInput("it is broken"), TooLarge("it is long", limit="MAX_VIDEO_BYTES")])
def test_and_an_error(error: BadInput | TooLarge) -> None:
    arrived = answer(said(failure(error)))
    assert isinstance(arrived, type(error))
    assert arrived.message == error.message
    assert arrived.limit == error.limit


@pytest.mark.parametrize(
    "text", [b"", b"\xff", b"[]", b"1", b'"x"', b"{}", b'{"frame": {}}', b'{"error": "Exception"}', b'{"frame": null}']
)
def test_anything_else_is_no_answer(text: bytes) -> None:
    with pytest.raises(ValueError):
        answer(text)


ONE = 1 << 16


@pytest.mark.parametrize(
    ("a", "b", "c", "d", "turn"),
    [
        (ONE, 0, 0, ONE, Turn()),
        (-ONE, 0, 0, -ONE, Turn(False, True, True)),
        (0, ONE, -ONE, 0, Turn(True, True, False)),
        (0, -ONE, ONE, 0, Turn(True, False, True)),
        (-ONE, 0, 0, ONE, Turn(False, True, False)),
        (ONE, 0, 0, -ONE, Turn(False, False, True)),
        (0, ONE, ONE, 0, Turn(True, False, False)),
        (0, -ONE, -ONE, 0, Turn(True, True, True)),
    ],
)
def test_the_eight_ways_to_lay_a_picture_down(a: int, b: int, c: int, d: int, turn: Turn) -> None:
    assert Turn.from_matrix(struct.pack("=9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)) == turn


@pytest.mark.parametrize(
    ("degrees", "turn"),
    [
        (0, Turn()),
        (90, Turn(True, False, True)),
        (-90, Turn(True, True, False)),
        (270, Turn(True, True, False)),
        (180, Turn(False, True, True)),
        (-180, Turn(False, True, True)),
        (44, Turn()),
    ],
)
def test_by_their_angle(degrees: int, turn: Turn) -> None:
    assert Turn.from_degrees(degrees) == turn
