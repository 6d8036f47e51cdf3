"""The benchmark of videos, with a short one."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from rich.console import Console

from tests.benchmarks import (
    films,
    memory,
    videos,
)
from tests.benchmarks.films import Shape
from tests.server import DEMO


class TestVideos:
    SHAPE = Shape(seconds=2, width=128, height=96, rate=10)

    def test_both_ways_to_decode_give_the_same_frames(self, tmp_path: Path) -> None:
        film = films.video(self.SHAPE, tmp_path)
        assert film == films.video(self.SHAPE, tmp_path)
        ours = videos.by_service(film)
        assert list(ours) == [1, 3, 6, 8, 11, 13, 16, 18]
        for seek in (True, False):
            theirs = videos.by_av(film, list(ours), seek=seek)
            # One of them may round colours otherwise.
            assert all(np.abs(theirs[number].astype(int) - pixels).max() <= 1 for number, pixels in ours.items())

    def test_all_figures_are_there(self, tmp_path: Path) -> None:
        found = videos.run(DEMO, self.SHAPE, rounds=2, number=3, cache=tmp_path)
        for name in ("alone_ms", "pictures_ms", "decode_ms", "av_from_keys_ms", "av_every_frame_ms"):
            assert 0 < found[name]["p50"] <= found[name]["p95"]
        assert found["at_once"]["requests"] == 3
        assert found["decoder_mb"] > 0
        for peaks in found["memory_mb"].values():
            assert 0 < peaks["own"] <= peaks["process"] <= peaks["together"]
            assert peaks["child"] > 0
            assert peaks["children"] >= 1
        console = Console(width=160, file=io.StringIO())
        videos.show(console, json.loads(json.dumps(found)))
        assert isinstance(console.file, io.StringIO)
        assert "one at a time" in console.file.getvalue()


def test_the_memory_of_a_process_and_of_its_children() -> None:
    program = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
    child = "import time; much = bytearray(50_000_000); time.sleep(0.3)"
    process = subprocess.Popen([sys.executable, "-c", program, child])
    with memory.watched(process.pid) as peaks:
        process.wait()
    assert peaks.child > 50 > peaks.own > 0
    assert peaks.together > peaks.child
    assert peaks.children == 1
    assert memory.status(process.pid) == {}
