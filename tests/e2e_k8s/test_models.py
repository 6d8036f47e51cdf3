"""Two models in one release."""

from __future__ import annotations

from tests.conftest import Figure
from tests.e2e_k8s.cluster import Json
from tests.e2e_k8s.load import load
from tests.e2e_k8s.namespaces import DEMO, OTHER, Namespace
from tests.e2e_k8s.releases import installed, model, values


def test_each_model_has_its_service(own_namespace: Namespace, examples: Json, figure: Figure) -> None:
    """Named for the model; its answers are that model's and no other's, also while both are asked."""
    models = [model(DEMO, name="shapes", replicas=2), model(OTHER, name="noise")]
    with installed(own_namespace, values(*models)) as release:
        release.settle()
        services = {each.rpartition("-")[2]: each for each in release.services}
        assert services.keys() == {"shapes", "noise"}
        assert len(release.ready_pods()) == 3
        with (
            load(own_namespace, services["shapes"], examples) as shapes,
            load(own_namespace, services["noise"], examples) as noise,
        ):
            shapes.wait_for_more()
            noise.wait_for_more()
        for name, running, tag in (("shapes", shapes, DEMO), ("noise", noise, OTHER)):
            figure(f"{name}: {running.counts()}")
            assert running.counts().failures == 0, running.failures()
            assert running.counts().models.keys() == {tag}
