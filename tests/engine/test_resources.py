import os
from pathlib import Path

import pytest

from multi2vec.engine.resources import usable_cpus


@pytest.fixture
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)


def group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text + "\n")


def membership(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "membership"
    path.write_text(text + "\n")
    return path


@pytest.mark.usefixtures("many_cores")
class TestQuota:
    def test_none_leaves_the_affinity_mask(self, tmp_path: Path) -> None:
        group(tmp_path / "fs", cpu__max="max 100000")
        assert usable_cpus(tmp_path / "fs", membership(tmp_path, "0::/")) == 64

    def test_v2_of_the_pod(self, tmp_path: Path) -> None:
        group(tmp_path / "fs/kubepods/pod", cpu__max="200000 100000")
        assert usable_cpus(tmp_path / "fs", membership(tmp_path, "0::/kubepods/pod")) == 2

    def test_v2_of_a_group_around_it(self, tmp_path: Path) -> None:
        group(tmp_path / "fs/kubepods", cpu__max="350000 100000")
        group(tmp_path / "fs/kubepods/pod", cpu__max="max 100000")
        assert usable_cpus(tmp_path / "fs", membership(tmp_path, "0::/kubepods/pod")) == 3

    def test_v2_seen_from_inside_a_container(self, tmp_path: Path) -> None:
        group(tmp_path / "fs", cpu__max="100000 100000")
        assert usable_cpus(tmp_path / "fs", membership(tmp_path, "0::/not/visible/here")) == 1

    def test_v1(self, tmp_path: Path) -> None:
        group(tmp_path / "fs/cpu,cpuacct/docker/x", cpu__cfs_quota_us="400000", cpu__cfs_period_us="100000")
        assert usable_cpus(tmp_path / "fs", membership(tmp_path, "4:cpu,cpuacct:/docker/x\n1:name=systemd:/")) == 4

    def test_less_than_one_cpu_is_one(self, tmp_path: Path) -> None:
        group(tmp_path / "fs", cpu__max="50000 100000")
        assert usable_cpus(tmp_path / "fs", membership(tmp_path, "0::/")) == 1

    def test_no_cgroups_at_all(self, tmp_path: Path) -> None:
        assert usable_cpus(tmp_path / "nowhere", tmp_path / "nothing") == 64


def test_affinity_wins_when_it_is_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    group(tmp_path / "fs", cpu__max="800000 100000")
    assert usable_cpus(tmp_path / "fs", membership(tmp_path, "0::/")) == 1
