"""kubectl and helm as functions, and waiting for what a cluster does in its own time."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from typing import Any, TypeVar

Json = dict[str, Any]
T = TypeVar("T")

COMMAND_SECONDS = 240.0
POLL_SECONDS = 0.5


class CommandFailed(Exception):
    """kubectl or helm ended with an error; the text is what it said."""


def missing() -> str | None:
    """What these tests lack on this machine, as a sentence; None if nothing."""
    programs = [program for program in ("kubectl", "helm") if shutil.which(program) is None]
    if programs:
        return f"not in PATH: {' and '.join(programs)}"
    if not os.environ.get("KUBECONFIG"):
        return "KUBECONFIG names no cluster"
    try:
        kubectl("get", "--raw", "/readyz", "--request-timeout=10s")
    except CommandFailed as error:
        return f"the cluster in KUBECONFIG does not answer: {error}"
    return None


def has_metrics() -> bool:
    """Whether the cluster measures what pods use, as a HorizontalPodAutoscaler needs it."""
    try:
        return bool(kubectl("top", "nodes", "--no-headers"))
    except CommandFailed:
        return False


def kubectl(*arguments: str, stdin: str | None = None) -> str:
    """What it prints. Raises `CommandFailed`."""
    return _run("kubectl", *arguments, stdin=stdin)


def helm(*arguments: str, stdin: str | None = None) -> str:
    """What it prints. Raises `CommandFailed`."""
    return _run("helm", *arguments, stdin=stdin)


def _run(*command: str, stdin: str | None) -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS)
    if done.returncode:
        raise CommandFailed(f"{' '.join(command[:6])} …: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def wait_until(what: str, condition: Callable[[], T | None], seconds: float = 60.0) -> T:
    """Ask until the answer is true, and give it back. Raises `TimeoutError` with the sentence."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(POLL_SECONDS)
    raise TimeoutError(f"not within {seconds:g} s: {what}")
