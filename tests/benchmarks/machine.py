"""What the figures were measured on."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

from multi2vec.engine.resources import usable_cpus

CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Cpu:
    """The processor and those of its instruction sets that matter here; all False where they cannot be read."""

    model: str
    cores: int
    amx: bool = False
    avx512_bf16: bool = False
    avx512: bool = False
    avx2: bool = False


def cpu(path: Path = CPUINFO) -> Cpu:
    """This machine's."""
    try:
        text = path.read_text()
    except OSError:
        return Cpu(platform.processor() or platform.machine(), usable_cpus())
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    flags = set(fields.get("flags", "").split())
    return Cpu(
        model=fields.get("model name") or platform.machine(),
        cores=usable_cpus(),
        amx={"amx_tile", "amx_bf16"} <= flags,
        avx512_bf16="avx512_bf16" in flags,
        avx512="avx512f" in flags,
        avx2="avx2" in flags,
    )


def memory_mb(pid: int) -> float | None:
    """Resident memory of a process now, mapped files included; None where it cannot be read."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    return None
