"""Rendered charts for tests: sets of values and their manifests."""

import importlib.util
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm"
OPEN: dict[str, Any] = {"settings": {"STRIATE_WITHOUT_KEYS": "anywhere"}}
KEYS: dict[str, Any] = {"keys": {"secret": "striate-keys"}}
STORE = {"remote": "store:bucket/models", "secret": "store"}
DIGEST = "sha256:" + 64 * "0"
VALUES: dict[str, dict[str, Any]] = {
    "open": OPEN,
    "keys": KEYS,
    "gpu": {**KEYS, "gpu": {"count": 2}},
    "claim": {**KEYS, "models": {"claim": "packages"}},
    "writable": {**KEYS, "models": {"claim": "packages", "writable": True}},
    "store": {**KEYS, "models": {"store": STORE}},
    "scaled": {**KEYS, "autoscaling": {"enabled": True}},
    "watched": {
        **KEYS,
        "monitor": {
            "enabled": True,
            "labels": {"release": "prom"},
            "namespace": "monitoring",
            "key": {"secret": "striate-metrics"},
        },
    },
    "pinned": {**KEYS, "image": {"repository": "registry.example.org/striate", "digest": DIGEST}},
    "everything": {
        **KEYS,
        "image": {"repository": "registry.example.org/striate", "tag": "1", "pullSecrets": ["pull"]},
        "gpu": {"count": 1},
        "models": {"store": STORE},
        "settings": {"STRIATE_WANTED": "digits,nuclei", "STRIATE_SESSION_THREADS": "3"},
        "autoscaling": {"enabled": True},
        "monitor": {"enabled": True, "key": {"secret": "striate-metrics"}},
        "network": {"from": [{"namespaceSelector": {}}], "egress": [{"ports": [{"port": 443, "protocol": "TCP"}]}]},
        "volumes": [{"name": "state", "persistentVolumeClaim": {"claimName": "striate-state"}}],
        "mounts": [{"name": "state", "mountPath": "/var/lib/striate"}],
        "priorityClassName": "high",
        "podAnnotations": {"a": "b"},
        "nodeSelector": {"gpu": "h200"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
    },
}


needs_helm = pytest.mark.skipif(
    importlib.util.find_spec("helm_python") is None, reason="helm-python-sdk has no wheel for this machine"
)


def helm(verb: str, values: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.deploy.helm", verb]
    return subprocess.run(
        command, cwd=ROOT, input=json.dumps(values), capture_output=True, text=True, timeout=120, check=False
    )


@cache
def rendered(name: str) -> dict[str, dict[str, Any]]:
    """Returns the manifests of one set of values, by kind."""
    done = helm("render", VALUES[name])
    assert done.returncode == 0, done.stderr
    texts = {path: text for path, text in json.loads(done.stdout).items() if path.endswith(".yaml")}
    manifests = [manifest for text in texts.values() if (manifest := yaml.safe_load(text))]
    assert len({manifest["kind"] for manifest in manifests}) == len(manifests)
    return {manifest["kind"]: manifest for manifest in manifests}


def pod(name: str) -> dict[str, Any]:
    return rendered(name)["Deployment"]["spec"]["template"]["spec"]


def environment(name: str) -> dict[str, Any]:
    given = pod(name)["containers"][0]["env"]
    assert len({variable["name"] for variable in given}) == len(given)
    return {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in given}
