"""Runs a tower on OpenVINO."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal

import numpy as np
import openvino as ov

from multi2vec.engine.errors import DeviceError, EncodeFailed
from multi2vec.engine.resources import usable_cpus
from multi2vec.engine.rows import Array, Vectors
from multi2vec.specs import TowerSpec

# OpenVINO's binding sets up numpy with the first array of the process; two threads that hand it theirs at the same time
# would wait for each other for ever.
ov.Tensor(np.zeros(1, dtype=np.uint8))

Precision = Literal["auto", "f32", "bf16", "f16"]

CPU_THREADS_PER_STREAM = 4

# To write a compiled model into a cache, OpenVINO sets the locale of the process to C and then back. Two threads that
# do so at the same time leave it at C: one of them takes the other's C for what it has to go back to.
_changing_locale = threading.Lock()


@dataclass(frozen=True)
class Execution:
    """How towers run. `threads` and `streams` hold for the CPU; 0 threads: all that this process may use; 0 streams:
    chosen from the threads. Precision `auto`: see `precision.choose`."""

    device: str = "CPU"
    precision: Precision = "auto"
    threads: int = 0
    streams: int = 0
    cache: Path | None = None

    @property
    def cpu_threads(self) -> int:
        """How many threads there are."""
        return self.threads or usable_cpus()

    @property
    def parallel(self) -> int:
        """How many batches run at a time."""
        if self.device != "CPU":
            return max(2, self.streams)
        return self.cpu_streams

    @property
    def cpu_streams(self) -> int:
        """One thread per stream gives most vectors per second, more threads shorter answers; both matter."""
        return self.streams or max(min(2, self.cpu_threads), self.cpu_threads // CPU_THREADS_PER_STREAM)

    def for_wide_items(self) -> Execution:
        """For items that are work enough for several threads at once, such as pictures: one stream answers sooner and
        loses no throughput, since preparing the next items fills the gaps."""
        return replace(self, streams=self.streams or max(1, self.cpu_threads // CPU_THREADS_PER_STREAM))


class Encoder:
    """One compiled tower. `encode` may be called from several threads."""

    def __init__(self, folder: Path, tower: TowerSpec, execution: Execution, precision: str) -> None:
        """Compile the tower for arithmetic in `precision`. Raises `DeviceError` for a device that is not there."""
        core = ov.Core()
        check_device(core, execution.device)
        if execution.cache is not None:
            core.set_property({"CACHE_DIR": str(execution.cache)})
        self.precision = precision
        self.parallel = execution.parallel
        with _changing_locale if execution.cache is not None else contextlib.nullcontext():
            self._model = core.compile_model(
                str(folder / tower.file), execution.device, properties(execution, precision)
            )
        self._outputs = {spec.name: index for index, spec in enumerate(tower.outputs)}
        # A request at rest lies in here; the thread that takes one out has it to itself.
        self._idle: SimpleQueue[ov.InferRequest] = SimpleQueue()
        for _ in range(self.parallel):
            self._idle.put(self._model.create_infer_request())

    def encode(self, inputs: Mapping[str, Array]) -> dict[str, Vectors]:
        """Every output by its name, float32, the first dimension as in the inputs. Blocks until a request is free.

        Raises `EncodeFailed`; the next call runs on a new request.
        """
        request = self._idle.get()
        try:
            request.infer(dict(inputs), share_inputs=True)
            # The buffers belong to the request and are overwritten by its next inference.
            return {
                name: np.array(request.get_output_tensor(index).data, dtype=np.float32)
                for name, index in self._outputs.items()
            }
        except Exception as error:
            request = self._model.create_infer_request()
            raise EncodeFailed("inference failed") from error
        finally:
            self._idle.put(request)


def check_device(core: ov.Core, device: str) -> None:
    """Raise `DeviceError` unless the device is there (`GPU` means any GPU, `AUTO` any device)."""
    available = list(core.available_devices)
    wanted = device.split(":")[0]
    if wanted == "AUTO" or any(each == wanted or each.split(".")[0] == wanted for each in available):
        return
    raise DeviceError(f"DEVICE={device} is not there; this machine has {', '.join(available) or 'none'} (and AUTO)")


def properties(execution: Execution, precision: str) -> dict[str, Any]:
    """OpenVINO's properties for compiling a tower."""
    found: dict[str, Any] = {}
    if execution.device.split(":")[0] != "AUTO":
        found["INFERENCE_PRECISION_HINT"] = precision
    if execution.device == "CPU":
        found["INFERENCE_NUM_THREADS"] = execution.cpu_threads
        found["NUM_STREAMS"] = execution.cpu_streams
        # Pinned threads of two towers would fight for the same cores, and a container's cores are not its own.
        found["ENABLE_CPU_PINNING"] = False
        # For compressed weights OpenVINO would round activations to 8 bits, on CPUs with the instructions for it.
        found["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = 0
    else:
        found["PERFORMANCE_HINT"] = "THROUGHPUT"
    return found
