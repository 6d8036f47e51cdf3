"""What packets say of a video's frames."""

from fractions import Fraction

from multi2vec.engine.video.plan import Plan, Stamp

TENTH = Fraction(1, 10)


def stamps(*times: int | None, keys: tuple[int, ...] = (0,), duration: int | None = 1) -> list[Stamp]:
    return [Stamp(time, duration, number in keys, False) for number, time in enumerate(times)]


def test_frames_are_counted_as_they_are_shown() -> None:
    plan = Plan.of(stamps(14, 18, 16, 15, 17), TENTH)
    assert plan.times == [14, 15, 16, 17, 18]
    assert plan.seconds == [1.4, 1.5, 1.6, 1.7, 1.8]
    assert plan.end == 1.9
    assert [plan.index(time) for time in (None, 0, 14, 15, 18, 99)] == [None, None, 0, 1, 4, None]


def test_the_key_frame_before_is_the_one_that_is_shown_before() -> None:
    """Packet 3 is a key frame; the two after it are shown before it and need the key frame before that."""
    plan = Plan.of(stamps(0, 1, 2, 5, 3, 4, 6, keys=(0, 3)), TENTH)
    assert [plan.key_before(index) for index in range(7)] == [(0, 0)] * 5 + [(5, 3)] * 2


def test_frames_before_the_first_key_frame() -> None:
    assert Plan.of(stamps(0, 1, 2, keys=(2,)), TENTH).key_before(1) == (0, 0)


def test_hidden_frames_and_packets_without_a_time_are_no_frames() -> None:
    hidden = [
        Stamp(0, 1, True, False),
        Stamp(1, 1, False, True),
        Stamp(None, 1, False, False),
        Stamp(2, 1, False, False),
    ]
    assert Plan.of(hidden, TENTH).times == [0, 2]


def test_a_last_frame_without_duration() -> None:
    assert Plan.of(stamps(0, 3, duration=None), TENTH).end == 0.6
    assert Plan.of(stamps(7, duration=None), TENTH).end == 0.7
    assert Plan.of([], TENTH).end == 0.0
