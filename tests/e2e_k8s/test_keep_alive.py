"""Kept connections do not tie clients to pods."""

from __future__ import annotations

import re

from tests.conftest import Figure
from tests.e2e_k8s.conftest import REPLICAS, UnderLoad
from tests.e2e_k8s.namespaces import Namespace
from tests.e2e_k8s.releases import installed, values

LIMIT = 10
REQUESTS = 400
# With forty draws between two pods, fewer than five for one of them come once in millions of tries.
SMALLEST_SHARE = 0.125


def test_one_client_reaches_both_pods(own_namespace: Namespace, under_load: UnderLoad, figure: Figure) -> None:
    """One connection at a time, closed by the server after some requests, and Kubernetes chooses the next one's pod."""
    with installed(own_namespace, values(replicas=REPLICAS, maxRequestsPerConnection=LIMIT)) as release:
        release.settle()
        pods = release.ready_pods()
        with under_load(release, clients=1, pause=0.01) as load:
            load.wait_for_more(REQUESTS)
        shares = sorted(answered(own_namespace, pod) / load.counts().requests for pod in pods)
    figure(f"limit {LIMIT}: the two pods answered {shares[0]:.0%} and {shares[1]:.0%} of one client's requests")
    assert load.counts().connections >= load.counts().requests // LIMIT
    assert load.counts().closes >= load.counts().requests // LIMIT
    assert shares[0] >= SMALLEST_SHARE


def answered(namespace: Namespace, pod: str) -> int:
    """Requests for vectors that a pod has answered with 200."""
    lines = re.findall(r"^multi2vec_http_requests_total\{(.*)\} (\S+)$", namespace.proxy(pod, "/metrics"), re.MULTILINE)
    return sum(int(float(value)) for labels, value in lines if '"/vectorize"' in labels and '"200"' in labels)
