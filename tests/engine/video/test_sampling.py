"""Which frames are chosen, from their times alone."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi2vec.engine.errors import BadInput, ClientError, TooLarge
from multi2vec.engine.video.sampling import Sampling, choose

# Three seconds at 10 frames a second.
EVEN = [frame / 10 for frame in range(30)]
# A phone's: slow, then fast. Frames at 0, 1, 2, 3 and then 40 in the last second.
VARYING = [0.0, 1.0, 2.0, 3.0, *(3.0 + frame / 40 for frame in range(1, 41))]


def chosen(sampling: Sampling, times: list[float] = EVEN, end: float = 3.0, most: int = 100) -> list[int]:
    return choose(sampling, times, end, most)


def test_centres_of_equal_segments() -> None:
    assert chosen(Sampling(count=3)) == [5, 15, 25]
    assert chosen(Sampling(count=1)) == [15]


def test_their_starts() -> None:
    assert chosen(Sampling(count=3, at="starts")) == [0, 10, 20]


def test_from_the_first_frame_to_the_last() -> None:
    assert chosen(Sampling(count=4, at="ends")) == [0, 10, 19, 29]
    assert chosen(Sampling(count=1, at="ends")) == [0]


@given(st.integers(1, 400), st.integers(1, 64), st.sampled_from([24, 25, 30, 50, 60]))
def test_ends_are_numpys_linspace(frames: int, count: int, rate: int) -> None:
    """But for places just between two frames, which numpy gives to either, as its last bit happens to be."""
    places = np.linspace(0, frames - 1, count)
    between = np.abs(places % 1 - 0.5) < 1e-9
    indexes = np.array(
        chosen(Sampling(count=count, at="ends"), [frame / rate for frame in range(frames)], frames / rate)
    )
    assert np.all((indexes == places.round()) | between)
    assert np.all(np.abs(indexes - places) < 0.5 + 1e-9)


def test_ticks_of_a_clock() -> None:
    assert chosen(Sampling(fps=1, at="ticks")) == [0, 10, 20]
    assert chosen(Sampling(fps=1, at="ticks"), end=2.95) == [0, 10]
    assert chosen(Sampling(fps=1, at="ticks"), EVEN[:4], 0.4) == [0]
    assert chosen(Sampling(fps=10, most=4, at="ticks")) == [0, 9, 19, 29]
    assert chosen(Sampling(fps=1, at="ticks"), VARYING, 4.025) == [0, 1, 2, 3]
    with pytest.raises(BadInput, match="how many per second"):
        Sampling(count=3, at="ticks")


def test_exactly_as_many_as_wanted_even_if_there_are_fewer() -> None:
    assert chosen(Sampling(count=8), [0.0, 0.1], 0.2) == [0, 0, 0, 0, 1, 1, 1, 1]
    assert chosen(Sampling(count=8), [7.0], 7.0) == [0] * 8


def test_time_counts_and_not_the_number_of_frames() -> None:
    assert chosen(Sampling(count=4), VARYING, 4.025) == [0, 1, 2, 23]


def test_a_first_time_that_is_not_0() -> None:
    shifted = [time + 1.4 for time in EVEN]
    assert chosen(Sampling(count=3), shifted, 4.4) == [5, 15, 25]
    assert chosen(Sampling(fps=1, at="starts"), shifted, 4.4) == [0, 10, 20]


def test_frames_per_second() -> None:
    assert chosen(Sampling(fps=1)) == [5, 15, 25]
    assert chosen(Sampling(fps=1, at="starts")) == [0, 10, 20]
    assert chosen(Sampling(fps=0.1, at="starts")) == [0]
    # The last part is shorter than the others.
    assert chosen(Sampling(fps=0.8, at="starts")) == [0, 12, 25]


def test_no_frame_is_taken_twice_for_a_rate_above_the_videos() -> None:
    assert chosen(Sampling(fps=1000)) == list(range(30))
    assert chosen(Sampling(fps=1e300, at="starts")) == list(range(30))


def test_least_and_most() -> None:
    assert len(chosen(Sampling(fps=1, least=4))) == 4
    assert len(chosen(Sampling(fps=5, most=4))) == 4
    assert len(chosen(Sampling(fps=1, least=4), [0.0, 1.0], 2.0)) == 2


@pytest.mark.parametrize(("frames", "number"), [(1, 2), (2, 2), (3, 2), (90, 4), (150, 4), (300, 10), (3000, 64)])
def test_an_even_number(frames: int, number: int) -> None:
    """What Qwen3-VL takes of a video of 30 frames a second; of a single frame two, that are the same."""
    sampling = Sampling(fps=1, least=4, most=64, even=True, at="ends")
    indexes = choose(sampling, [frame / 30 for frame in range(frames)], frames / 30, 100)
    assert indexes == np.linspace(0, frames - 1, number).round().astype(int).tolist()


def test_milliseconds_that_were_rounded_up_change_nothing() -> None:
    rounded = [math.ceil(frame * 1000 / 30) / 1000 for frame in range(90)]
    assert chosen(Sampling(fps=30, at="starts"), rounded, 3.0) == list(range(90))


def test_frames_by_number_are_in_the_order_of_the_video() -> None:
    assert chosen(Sampling(indexes=(7, 3, 7))) == [3, 7, 7]


def test_numbers_outside_the_video_do_not_count() -> None:
    assert chosen(Sampling(indexes=(29, 30, 1000))) == [29]
    with pytest.raises(BadInput, match="it has 30, of which 0 to 29 are in the window"):
        chosen(Sampling(indexes=(30,)))
    with pytest.raises(BadInput, match="none of the frames"):
        chosen(Sampling(indexes=()))


def test_every_nth() -> None:
    assert chosen(Sampling(every=10)) == [0, 10, 20]
    assert chosen(Sampling(every=1000)) == [0]


def test_what_counts_if_several_are_given() -> None:
    assert chosen(Sampling(indexes=(1,), fps=1, count=2, every=3)) == [1]
    assert chosen(Sampling(fps=1, count=2, every=3)) == [5, 15, 25]
    assert chosen(Sampling(count=2, every=3)) == [7, 22]


def test_a_window() -> None:
    assert chosen(Sampling(every=1, start=1.0, duration=0.5)) == [10, 11, 12, 13, 14]
    assert chosen(Sampling(every=1, start=1.0)) == list(range(10, 30))
    assert chosen(Sampling(every=1, start=1.05, duration=0.1)) == [10, 11]
    assert chosen(Sampling(count=2, start=1.0, duration=1.0)) == [12, 17]
    assert chosen(Sampling(count=2, start=1.0, duration=1.0, at="ends")) == [10, 19]
    assert chosen(Sampling(fps=2, start=1.0, duration=1.0, at="starts")) == [10, 15]
    assert chosen(Sampling(indexes=(3, 12), start=1.0)) == [12]
    assert chosen(Sampling(count=2, start=2.9, duration=1000.0)) == [29, 29]


def test_a_window_after_the_end() -> None:
    with pytest.raises(BadInput, match=r"starts at 3 seconds, but the video lasts 3\.000"):
        chosen(Sampling(count=1, start=3.0))


def test_too_many() -> None:
    for sampling in (Sampling(count=101), Sampling(every=1), Sampling(fps=30), Sampling(indexes=(0,) * 101)):
        with pytest.raises(TooLarge, match="MAX_VIDEO_FRAMES"):
            chosen(sampling, [frame / 30 for frame in range(200)], 7.0)
    with pytest.raises(TooLarge, match="1000000000000 frames"):
        chosen(Sampling(count=10**12))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"count": 0},
        {"fps": -1.0},
        {"fps": math.nan},
        {"fps": math.inf},
        {"every": 0},
        {"count": 1, "start": -1.0},
        {"count": 1, "start": math.nan},
        {"count": 1, "duration": 0.0},
        {"fps": 1.0, "most": 0},
    ],
)
def test_what_makes_no_sense(options: dict[str, float]) -> None:
    with pytest.raises(BadInput, match="the sampling of a video"):
        Sampling(**options)  # type: ignore[arg-type]


@st.composite
def videos(draw: st.DrawFn) -> tuple[list[float], float]:
    gaps = draw(st.lists(st.floats(0.004, 1e6), min_size=1, max_size=50))
    times = np.cumsum([draw(st.floats(-100, 100)), *gaps]).tolist()
    return times[:-1], times[-1]


@given(
    videos(),
    st.builds(
        Sampling,
        fps=st.none() | st.floats(1e-6, 1e9),
        count=st.integers(1, 70),
        least=st.integers(1, 70),
        most=st.none() | st.integers(1, 70),
        even=st.booleans(),
        start=st.just(0.0) | st.floats(0, 1e3),
        duration=st.none() | st.floats(0.001, 1e6),
        at=st.sampled_from(["starts", "centres", "ends"]),
    ),
)
def test_indexes_are_ascending_and_there(video: tuple[list[float], float], sampling: Sampling) -> None:
    times, end = video
    try:
        indexes = choose(sampling, times, end, 64)
    except ClientError:
        return
    assert indexes == sorted(indexes)
    assert 1 <= len(indexes) <= 64
    assert indexes[0] >= 0
    assert indexes[-1] < len(times)
    if sampling.fps is None:
        assert len(indexes) == sampling.count
