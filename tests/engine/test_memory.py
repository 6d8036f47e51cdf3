import mmap
import os
import sys
from pathlib import Path

import pytest

from multi2vec.engine.memory import release

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")


def resident(path: Path) -> int:
    """Bytes of the file's mappings that are in memory now."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    for line in lines:
        if line.endswith(str(path)):
            return next(int(each.split()[1]) * 1024 for each in lines if each.startswith("Rss:"))
    raise LookupError(path)


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


def test_other_mappings_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "text.bin"
    path.write_bytes(bytes(4_000_000))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE) as mapped:
        mapped[:4] = b"kept"
        release()
        assert mapped[:4] == b"kept"
