"""Several models in one release: names, selectors, overrides."""

from __future__ import annotations

import pytest

from tests.chart.helm import FULLNAME, Object, Objects, Refused, Values, chart, container, environment
from tests.chart.matrix import LONG_TAG


def names(found: Objects, kind: str = "Service") -> list[str]:
    return sorted(one["metadata"]["name"] for one in found.of(kind))


def selected(deployment: Object) -> dict[str, str]:
    return dict(deployment["spec"]["selector"]["matchLabels"])


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        ([{"tag": "demo"}], [FULLNAME]),
        ([{"tag": "demo", "name": "a"}], [f"{FULLNAME}-a"]),
        ([{"tag": "demo"}, {"tag": "demo", "name": "a"}], [FULLNAME, f"{FULLNAME}-a"]),
        ([{"tag": "ViT-B_16.x"}, {"tag": "demo"}], [f"{FULLNAME}-demo", f"{FULLNAME}-vit-b-16-x"]),
    ],
)
def test_names(models: list[Values], expected: list[str]) -> None:
    found = chart({"models": models})
    for kind in ("Deployment", "Service", "PodDisruptionBudget"):
        assert names(found, kind) == expected


@pytest.mark.parametrize(
    ("release", "values", "expected"),
    [
        ("multi2vec-openvino", {}, "multi2vec-openvino"),
        ("x", {"nameOverride": "vectors"}, "x-vectors"),
        ("x", {"fullnameOverride": "vectors"}, "vectors"),
    ],
)
def test_names_of_the_release(release: str, values: Values, expected: str) -> None:
    assert names(chart(values, release=release)) == [expected]


def test_long_names_are_cut_and_stay_different() -> None:
    values = {"models": [{"tag": LONG_TAG}, {"tag": LONG_TAG[:-1]}]}
    found = names(chart(values, release="r" * 53), "Deployment")
    assert len(found) == 2
    assert [len(name) for name in found] == [54, 54]


def test_the_selector_outlives_the_tag() -> None:
    before, after = (chart({"models": [{"tag": tag}]}) for tag in ("demo", "random"))
    assert before.one("Deployment")["spec"]["selector"] == after.one("Deployment")["spec"]["selector"]
    assert before.one("Service") == {
        **after.one("Service"),
        "metadata": {
            **after.one("Service")["metadata"],
            "labels": {
                **after.one("Service")["metadata"]["labels"],
                "io.github.multi2vec-openvino/tag": "demo",
            },
        },
    }


def test_each_service_reaches_its_own_pods() -> None:
    found = chart({"models": [{"tag": "demo"}, {"name": "a", "tag": "demo"}, {"name": "b", "tag": "demo"}]})
    selectors = [selected(deployment) for deployment in found.of("Deployment")]
    assert len({tuple(sorted(one.items())) for one in selectors}) == 3
    for deployment in found.of("Deployment"):
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert selected(deployment).items() <= labels.items()
        service = found["Service", deployment["metadata"]["name"]]
        budget = found["PodDisruptionBudget", deployment["metadata"]["name"]]
        assert service["spec"]["selector"] == selected(deployment)
        assert budget["spec"]["selector"]["matchLabels"] == selected(deployment)
        test_pod = found["Pod", deployment["metadata"]["name"] + "-test"]
        assert not selected(deployment).items() <= test_pod["metadata"]["labels"].items()


def test_the_tag_is_said() -> None:
    deployment = chart({"models": [{"tag": LONG_TAG}]}).one("Deployment")
    for metadata in (deployment["metadata"], deployment["spec"]["template"]["metadata"]):
        assert metadata["annotations"]["io.github.multi2vec-openvino/tag"] == LONG_TAG
        label = metadata["labels"]["io.github.multi2vec-openvino/tag"]
        assert LONG_TAG.startswith(label)
        assert 0 < len(label) <= 63
    assert "io.github.multi2vec-openvino/tag" not in selected(deployment)


@pytest.mark.parametrize(
    "models",
    [
        [{"tag": "demo"}, {"tag": "demo"}],
        [{"tag": "Demo_1"}, {"tag": "demo.1"}],
        [{"tag": "a", "name": "x"}, {"tag": "b", "name": "x"}],
        [{"tag": "a"}, {"tag": "b", "name": "model"}],
    ],
)
def test_two_models_of_one_name_are_refused(models: list[Values]) -> None:
    with pytest.raises(Refused, match=r"two entries would be called \S+; give them different names"):
        chart({"models": models})


def test_a_release_name_that_no_service_can_have() -> None:
    with pytest.raises(Refused, match="set fullnameOverride"):
        chart(release="1st")


def test_an_entry_wins_also_with_nothing() -> None:
    defaults = {
        "replicas": 3,
        "env": {"LOG_FORMAT": "json", "ACCESS_LOG": True, "STREAMS": 4, "PRECISION": "f32"},
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "nodeSelector": {"a": "1", "b": "2"},
        "podDisruptionBudget": {"enabled": True},
        "priorityClassName": "high",
        "image": {"registry": "r.example.com"},
    }
    entry = {
        "name": "x",
        "tag": "demo",
        "replicas": 0,
        "env": {"LOG_FORMAT": "", "ACCESS_LOG": False, "STREAMS": 0, "PRECISION": None},
        "tolerations": [],
        "nodeSelector": {"a": None, "c": "3"},
        "podDisruptionBudget": {"enabled": False},
        "priorityClassName": "",
        "image": {"registry": ""},
    }
    found = chart({**defaults, "models": [{"tag": "demo"}, entry]})
    assert names(found, "PodDisruptionBudget") == [FULLNAME]
    replaced, plain = found["Deployment", f"{FULLNAME}-x"], found["Deployment", FULLNAME]

    assert replaced["spec"]["replicas"] == 0
    variables = environment(replaced)
    assert (variables["LOG_FORMAT"], variables["ACCESS_LOG"], variables["STREAMS"]) == ("", "false", "0")
    assert "PRECISION" not in variables
    spec = replaced["spec"]["template"]["spec"]
    assert not {"tolerations", "priorityClassName"} & spec.keys()
    assert spec["nodeSelector"] == {"b": "2", "c": "3"}
    assert container(replaced)["image"] == "multi2vec-openvino:demo"

    # What one entry says must not leak into another.
    assert plain["spec"]["replicas"] == 3
    assert environment(plain)["PRECISION"] == "f32"
    assert plain["spec"]["template"]["spec"]["nodeSelector"] == {"a": "1", "b": "2"}
    assert container(plain)["image"] == "r.example.com/multi2vec-openvino:demo"


def test_maps_are_merged_deeply() -> None:
    found = chart({"models": [{"tag": "demo", "resources": {"limits": {"cpu": "4"}}}]})
    assert container(found.one("Deployment"))["resources"] == {
        "requests": {"cpu": "1", "memory": "1Gi"},
        "limits": {"cpu": "4", "memory": "2Gi"},
    }


def test_labels() -> None:
    found = chart({"commonLabels": {"team": "search"}, "podLabels": {"cost": "1"}, "service": {"labels": {"a": "b"}}})
    assert all(one["metadata"]["labels"].get("team") == "search" for one in found.all if one["kind"] != "Pod")
    assert found.one("Service")["metadata"]["labels"]["a"] == "b"
    pod = found.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert pod["cost"] == "1"
    # A new version of the chart alone must not restart pods.
    assert not {"helm.sh/chart", "app.kubernetes.io/version", "team"} & pod.keys()
