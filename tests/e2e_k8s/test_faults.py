"""Pods that die, and pods that never live, do not take the Service down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from tests.conftest import Figure
from tests.e2e_k8s.cluster import Json, wait_until
from tests.e2e_k8s.conftest import REPLICAS, UnderLoad
from tests.e2e_k8s.load import CLIENTS, Counts, load
from tests.e2e_k8s.namespaces import Namespace, run_script
from tests.e2e_k8s.releases import Release, name_of, values

# A picture of this width and height takes some 250 MB while it is decoded, and several are decoded side by side. The
# server alone takes 165 MB of the demo's limit, 384 MiB.
LARGE = {"edge": 7900, "pictures": 4}
# How long Kubernetes may take to notice a dead container and to keep requests from it.
NOTICED_SECONDS = 10.0
BROKEN_CONNECTION = {"RemoteDisconnected", "ConnectionResetError", "ConnectionRefusedError", "BrokenPipeError"}


def container(pod: Json) -> Json:
    """The state of a pod's only container."""
    found: Json = pod["status"]["containerStatuses"][0]
    return found


def test_a_pod_out_of_memory(release: Release, namespace: Namespace, examples: Json, figure: Figure) -> None:
    """Pictures too large for the memory limit kill one server.

    No server can answer what it has in hand when the kernel kills it, nor what comes before Kubernetes has noticed. So
    some requests break, all of them on connections to that pod; the other pod answers all the while, and soon both do.
    """
    victim = release.pods()[0]
    with load(namespace, release.service, examples) as running:
        answer = run_script(namespace, "post", {"host": victim["status"]["podIP"], "port": 8080, **LARGE})
        name = victim["metadata"]["name"]
        wait_until("the container was killed", lambda: container(namespace.get("pod", name))["restartCount"])
        release.settle()
    last = container(namespace.get("pod", name))["lastState"]["terminated"]
    assert last["reason"] == "OOMKilled", last
    assert answer["status"] == 0, answer
    failures = running.failures()
    figure(f"{running.counts()}; {dict(Counter(each.kind for each in failures))}")
    assert len(failures) == running.counts().failures
    assert {each.kind for each in failures} <= BROKEN_CONNECTION, failures
    in_hand = [each for each in failures if each.kind != "ConnectionRefusedError"]
    assert len(in_hand) <= CLIENTS, failures
    assert not failures or failures[-1].seconds - failures[0].seconds <= NOTICED_SECONDS, failures
    assert_answers_all_the_while(running.history())


def test_a_crash_loop(release: Release, under_load: UnderLoad) -> None:
    """An upgrade to what cannot start changes nothing for clients: the old pods stay until it is taken back."""
    before = release.values
    old = set(release.ready_pods())
    with under_load(release) as load:
        release.upgrade(values(replicas=REPLICAS, env={"MODEL_DIR": "/nowhere"}), wait=False)
        broken = wait_until("a pod crashes over and over", lambda: crashing(release), 120)
        assert old == set(release.ready_pods())
        load.wait_for_more()
        release.rollback(before)
    assert broken not in release.ready_pods()
    assert old == set(release.ready_pods())


def crashing(release: Release) -> str | None:
    """The name of a pod that Kubernetes has stopped to start at once."""
    for pod in release.pods():
        for status in pod["status"].get("containerStatuses", ()):
            if status["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff":
                return name_of(pod)
    return None


def assert_answers_all_the_while(history: Sequence[Counts]) -> None:
    """In each second some requests got their vectors; the last line comes whenever the clients end."""
    for earlier, later in pairwise(history[:-1]):
        assert later.answers > earlier.answers, f"no answer between {earlier} and {later}"
