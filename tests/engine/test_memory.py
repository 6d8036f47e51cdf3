import mmap
import os
import sys
from pathlib import Path

import pytest

from multi2vec.engine import memory
from multi2vec.engine.memory import release

only_on_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere nothing is given back: no /proc, no madvise"
)


def resident(path: Path) -> int:
    """Bytes of the file's mappings that are in memory now."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    for line in lines:
        if line.endswith(str(path)):
            return next(int(each.split()[1]) * 1024 for each in lines if each.startswith("Rss:"))
    raise LookupError(path)


@only_on_linux
@pytest.mark.parametrize("name", ["text.bin", "cached.blob"])
def test_mapped_weights_leave_memory_and_come_back(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    data = os.urandom(4_000_000)
    path.write_bytes(data)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE) as mapped:
        assert mapped[:] == data
        assert resident(path) >= 4_000_000
        release()
        assert resident(path) == 0
        assert mapped[:] == data


@only_on_linux
def test_other_mappings_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "text.bin"
    path.write_bytes(bytes(4_000_000))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE) as mapped:
        mapped[:4] = b"kept"
        release()
        assert mapped[:4] == b"kept"


def test_where_there_is_nothing_to_read_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MAPS", tmp_path / "maps")
    release()


def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> object:
        raise OSError(name)

    monkeypatch.setattr(memory.ctypes, "CDLL", absent)
    release()
    memory.limit_arenas(2)
