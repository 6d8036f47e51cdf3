"""Values of every kind that the chart must render."""

from __future__ import annotations

from tests.chart.helm import Values

DIGEST = "sha256:" + "0123456789abcdef" * 4
LONG_TAG = "xlm-roberta-base-ViT-B-32-laion5b_s13b_b90k." + "x" * 80

EVERYTHING: Values = {
    "commonLabels": {"team": "search"},
    "models": [
        {"tag": "demo"},
        {
            "name": "large",
            "tag": "openai-clip-vit-large-patch14-336",
            "image": {"digest": DIGEST},
            "resources": {"limits": {"memory": "6Gi"}},
            "service": {"type": "NodePort", "nodePort": 30080},
            "podDisruptionBudget": {"minAvailable": "50%"},
            "accelerator": {"kind": "gpu", "supplementalGroups": [109]},
            "strategy": {"type": "Recreate"},
        },
    ],
    "image": {"registry": "registry.example.com/team", "version": "0.1.0", "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "registry"}],
    "env": {"LOG_FORMAT": "json", "MAX_BODY_BYTES": 134217728, "ACCESS_LOG": True},
    "extraEnv": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "tokens", "key": "token"}}}],
    "extraEnvFrom": [{"secretRef": {"name": "settings"}}, {"prefix": "X_", "configMapRef": {"name": "more"}}],
    "extraVolumes": [{"name": "certificates", "secret": {"secretName": "certificates"}}],
    "extraVolumeMounts": [{"name": "certificates", "mountPath": "/certificates", "readOnly": True}],
    "podLabels": {"cost": "vectors"},
    "podAnnotations": {"sidecar.istio.io/inject": "false"},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "vectors", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "cpu", "operator": "In", "values": ["amx"]}]}]
            }
        }
    },
    "priorityClassName": "important",
    "service": {"annotations": {"note": "x"}, "labels": {"tier": "vectors"}},
    "autoscaling": {
        "enabled": True,
        "queueItems": 8,
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}},
    },
    "serviceAccount": {"annotations": {"note": "x"}},
    "networkPolicy": {
        "enabled": True,
        "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "weaviate"}}}],
        "monitoringFrom": [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
        "extraEgress": [{"to": [{"podSelector": {}}], "ports": [{"port": 53, "protocol": "UDP"}]}],
    },
    "serviceMonitor": {
        "enabled": True,
        "namespace": "monitoring",
        "labels": {"release": "prometheus"},
        "interval": "15s",
        "scrapeTimeout": "5s",
        "authorization": {"credentials": {"name": "prometheus", "key": "key"}},
        "metricRelabelings": [{"action": "labeldrop", "regex": "le"}],
    },
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "annotations": {"nginx.ingress.kubernetes.io/proxy-body-size": "128m"},
        "hosts": ["a.example.com", "b.example.com"],
        "tls": [{"hosts": ["a.example.com"], "secretName": "tls"}],
    },
}

MATRIX: dict[str, Values] = {
    "defaults": {},
    "everything": EVERYTHING,
    "several models": {"models": [{"tag": "demo"}, {"tag": "random", "replicas": 3}, {"name": "c", "tag": "demo"}]},
    "keda": {"keda": {"enabled": True, "prometheus": {"serverAddress": "http://prometheus:9090"}}},
    "gpu": {"accelerator": {"kind": "gpu", "resource": "gpu.intel.com/xe", "count": 2}},
    "npu": {"accelerator": {"kind": "npu"}},
    "ingress": {"ingress": {"enabled": True}},
    "closed network": {"networkPolicy": {"enabled": True, "from": []}},
    "long names": {"fullnameOverride": "f" * 54, "models": [{"tag": LONG_TAG}, {"tag": LONG_TAG[:-1]}]},
    "bare": {
        "serviceAccount": {"create": False},
        "podDisruptionBudget": {"enabled": False},
        "topologySpreadConstraints": [],
        "drain": {"preStopSeconds": 0},
        "resources": {"requests": {"cpu": None}, "limits": {"memory": None}},
        "podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None},
    },
}
