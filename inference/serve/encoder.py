"""Runs a tower on OpenVINO. The only file that imports it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import openvino as ov

from inference.manifest import TowerSpec
from inference.serve.errors import EncodeFailed

# OpenVINO's binding sets up numpy with the first array of the process; two threads that hand it theirs at the same time
# would wait for each other for ever.
ov.Tensor(np.zeros(1, dtype=np.uint8))

Vectors = npt.NDArray[np.float32]
Precision = Literal["auto", "f32", "bf16", "f16"]

CPU_THREADS_PER_STREAM = 4


class DeviceError(RuntimeError):
    """The device that was asked for cannot be used; the message lists those that can."""


@dataclass(frozen=True)
class Execution:
    """How towers run. `threads` and `streams` hold for the CPU; 0 streams: chosen from the threads."""

    device: str = "CPU"
    precision: Precision = "auto"
    threads: int = 1
    streams: int = 0
    cache: Path | None = None

    @property
    def parallel(self) -> int:
        """How many batches run at a time."""
        if self.device != "CPU":
            return max(2, self.streams)
        return self.cpu_streams

    @property
    def cpu_streams(self) -> int:
        """One thread per stream gives most vectors per second, more threads shorter answers; both matter."""
        return self.streams or max(min(2, self.threads), self.threads // CPU_THREADS_PER_STREAM)

    def for_pictures(self) -> Execution:
        """A picture is work enough for several threads at once: one stream answers sooner and loses no throughput,
        since preparing the next pictures fills the gaps."""
        return replace(self, streams=self.streams or max(1, self.threads // CPU_THREADS_PER_STREAM))


class Encoder:
    """One compiled tower. `encode` may be called from several threads."""

    def __init__(self, folder: Path, tower: TowerSpec, execution: Execution) -> None:
        """Compile the tower. Raises `DeviceError` for a device that is not there."""
        core = ov.Core()
        check_device(core, execution.device)
        if execution.cache is not None:
            core.set_property({"CACHE_DIR": str(execution.cache)})
        self.precision = resolve_precision(core, execution)
        self.parallel = execution.parallel
        self._model = core.compile_model(
            str(folder / tower.file), execution.device, _properties(execution, self.precision)
        )
        # A request at rest lies in here; the thread that takes one out has it to itself.
        self._idle: SimpleQueue[ov.InferRequest] = SimpleQueue()
        for _ in range(self.parallel):
            self._idle.put(self._model.create_infer_request())

    def encode(self, inputs: Mapping[str, npt.NDArray[Any]]) -> Vectors:
        """One vector per row: float32 (rows, dimensions). Blocks until a request is free.

        Raises `EncodeFailed`; the next call runs on a new request.
        """
        request = self._idle.get()
        try:
            request.infer(dict(inputs), share_inputs=True)
            # The buffer belongs to the request and is overwritten by its next inference.
            return np.array(request.get_output_tensor(0).data, dtype=np.float32)
        except Exception as error:
            request = self._model.create_infer_request()
            raise EncodeFailed("inference failed; the server's log has the reason") from error
        finally:
            self._idle.put(request)


def resolve_precision(core: ov.Core, execution: Execution) -> str:
    """The precision of the arithmetic: what was asked for, or the fastest that keeps vectors (bf16 before f32)."""
    if execution.precision != "auto":
        return execution.precision
    capabilities = core.get_property(execution.device.split(":")[0], "OPTIMIZATION_CAPABILITIES")
    if execution.device == "CPU":
        return "bf16" if "BF16" in capabilities else "f32"
    return "f16" if "FP16" in capabilities else "f32"


def check_device(core: ov.Core, device: str) -> None:
    """Raise `DeviceError` unless the device is there (`GPU` means any GPU, `AUTO` any device)."""
    available = list(core.available_devices)
    wanted = device.split(":")[0]
    if wanted == "AUTO" or any(each == wanted or each.split(".")[0] == wanted for each in available):
        return
    raise DeviceError(f"DEVICE={device} is not there; this machine has {', '.join(available) or 'none'} (and AUTO)")


def _properties(execution: Execution, precision: str) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    if execution.device.split(":")[0] != "AUTO":
        properties["INFERENCE_PRECISION_HINT"] = precision
    if execution.device == "CPU":
        properties["INFERENCE_NUM_THREADS"] = execution.threads
        properties["NUM_STREAMS"] = execution.cpu_streams
        # Pinned threads of two towers would fight for the same cores, and a container's cores are not its own.
        properties["ENABLE_CPU_PINNING"] = False
    else:
        properties["PERFORMANCE_HINT"] = "THROUGHPUT"
    return properties
