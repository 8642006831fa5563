"""The Helm chart: linted and rendered by Helm, and validated against the schemas of Kubernetes."""

import json
import re
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service import __version__
from tests.compose import COMPOSE
from tests.deploy.chart import CHART, DIGEST, KEYS, STORE, VALUES, environment, helm, needs_helm, pod, rendered

pytestmark = needs_helm
USUAL = {"Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service"}


@pytest.mark.parametrize("name", VALUES)
def test_helm_finds_nothing_to_warn_of(name: str) -> None:
    report = json.loads(helm("lint", VALUES[name]).stdout)
    assert [found for found in report["messages"] if found["severity"] > 1] == []  # 1: it would like an icon
    assert report["errors"] == []


def test_the_documentation_names_values_that_there_are() -> None:
    table = (CHART.parents[1] / "docs/deployment.md").read_text().partition("| for | set |")[2].partition("\n\n")[0]
    named = re.findall(r"`([a-z]\w+)\.(\w+)(?:\.\w+)*(?:: [^`]+)?`", table)
    assert len(named) > 12
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert [(first, second) for first, second in named if second not in values[first] and first != "settings"] == []


@pytest.mark.parametrize("kubernetes", ["1.29", "1.37"])  # the oldest that Chart.yaml takes, and the newest published
@pytest.mark.parametrize("name", VALUES)
def test_kubernetes_takes_every_manifest(name: str, kubernetes: str) -> None:
    for kind, manifest in rendered(name).items():
        if kind != "ServiceMonitor":  # the Prometheus operator's own kind, of which the schemas know nothing
            kubernetes_validate.validate(manifest, kubernetes, strict=True)


def test_the_schemas_find_a_wrong_manifest() -> None:
    wrong = {**rendered("keys")["Deployment"], "speck": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.37", strict=True)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("open", USUAL),
        ("scaled", USUAL | {"HorizontalPodAutoscaler"}),
        ("watched", USUAL | {"ServiceMonitor"}),
        ("everything", USUAL | {"HorizontalPodAutoscaler", "ServiceMonitor"}),
    ],
)
def test_what_is_asked_for_is_rendered(name: str, kinds: set[str]) -> None:
    assert rendered(name).keys() == kinds


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "Anyone in the cluster could call the service. Name a Secret in keys.secret"),
        ({**KEYS, "models": {"claim": "packages", "store": STORE}}, "both define the source of the models"),
        ({**KEYS, "models": {"store": STORE, "writable": True}}, "models.writable needs models.claim"),
        ({**KEYS, "monitor": {"enabled": True}}, "name the Secret that holds it in monitor.key.secret"),
        ({**KEYS, "replica": 3}, "additional properties 'replica' not allowed"),
        ({**KEYS, "settings": {"STRIATE_MAX_PIXELS": 50000000}}, "got number, want string"),  # it would become 5e+07
        ({**KEYS, "settings": {"DEVICE": "cuda"}}, "'DEVICE' does not match pattern"),
        ({**KEYS, "resources": {"limits": {"cpu": None}}}, "/resources/limits"),
        ({**KEYS, "image": {"digest": "latest"}}, "'latest' does not match pattern"),
    ],
)
def test_what_could_not_be_meant_is_refused(values: dict[str, Any], says: str) -> None:
    done = helm("render", values)
    assert done.returncode == 1
    assert done.stderr.rpartition("refused: ")[1]
    assert says in done.stderr


@pytest.mark.parametrize("name", VALUES)
def test_a_pod_has_no_right_it_does_not_need(name: str) -> None:
    spec = pod(name)
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= container["resources"]["limits"].keys()


@pytest.mark.parametrize("name", VALUES)
def test_what_selects_pods_selects_these(name: str) -> None:
    manifests = rendered(name)
    labels = manifests["Deployment"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        manifests["Deployment"]["spec"]["selector"]["matchLabels"],
        manifests["Service"]["spec"]["selector"],
        manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        manifests["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    ]
    assert all(selector == labels for selector in selectors)
    assert manifests["Service"]["spec"]["ports"][0]["targetPort"] == pod(name)["containers"][0]["ports"][0]["name"]


def test_the_image_is_that_of_compose() -> None:
    compose = COMPOSE["services"]["striate"]
    assert compose["image"].endswith(f":-{pod('keys')['containers'][0]['image']}}}")
    assert compose["user"] == "{runAsUser}:{runAsGroup}".format(**pod("keys")["securityContext"])
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == __version__


def test_a_digest_replaces_the_tag() -> None:
    assert pod("pinned")["containers"][0]["image"] == f"registry.example.org/striate@{DIGEST}"


def test_a_pod_has_the_memory_that_its_threads_need() -> None:
    """1 GiB and 1 GiB for each CPU, asked for in advance: a node that promised it elsewhere would end the pod."""
    given = pod("keys")["containers"][0]["resources"]
    assert given["requests"]["memory"] == given["limits"]["memory"] == f"{1 + int(given['limits']['cpu'])}Gi"


def test_a_pod_has_room_on_the_nodes_disk_for_its_models() -> None:
    """Kubernetes evicts a pod that has more there than its largest limit, of containers and init containers."""
    (copies,) = pod("store")["initContainers"]
    (models,) = [volume for volume in pod("store")["volumes"] if volume["name"] == "models"]
    assert copies["resources"]["limits"]["ephemeral-storage"] == models["emptyDir"]["sizeLimit"]
    assert {"ephemeral-storage"} <= pod("keys")["containers"][0]["resources"]["limits"].keys()


def test_pods_have_the_priority_that_is_asked_for() -> None:
    assert pod("everything")["priorityClassName"] == "high"
    assert "priorityClassName" not in pod("keys")


def test_probes_ask_the_routes_that_stay_open() -> None:
    container = pod("keys")["containers"][0]
    asked = {name: container[name]["httpGet"]["path"] for name in container if name.endswith("Probe")}
    assert asked == {"startupProbe": "/livez", "readinessProbe": "/readyz", "livenessProbe": "/livez"}


def test_a_pod_has_time_to_answer_what_is_under_way() -> None:
    """The grace period covers the sleep before SIGTERM, the longest request and a few seconds to end."""
    waits = int(pod("keys")["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod("keys")["terminationGracePeriodSeconds"] > waits + 30.0 + 5


def test_threads_follow_the_limit_unless_they_are_set() -> None:
    by_limit = {"resourceFieldRef": {"containerName": "striate", "resource": "limits.cpu"}}
    assert environment("keys")["STRIATE_SESSION_THREADS"] == by_limit
    assert environment("everything")["STRIATE_SESSION_THREADS"] == "3"
    assert environment("everything")["STRIATE_WORKER_THREADS"] == by_limit


def test_a_gpu_is_asked_for_promised_and_not_needed_twice() -> None:
    container = pod("gpu")["containers"][0]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 2
    assert container["image"] == f"striate:{__version__}-gpu"
    assert environment("gpu")["STRIATE_DEVICE"] == "cuda"
    assert rendered("gpu")["Deployment"]["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert "nvidia.com/gpu" not in pod("keys")["containers"][0]["resources"]["limits"]
    assert "STRIATE_DEVICE" not in environment("keys")


@pytest.mark.parametrize(("name", "where"), [("claim", "/models"), ("store", "/models"), ("keys", None)])
def test_models_are_mounted_read_only_or_are_those_of_the_image(name: str, where: str | None) -> None:
    mounts = {mount["name"]: mount for mount in pod(name)["containers"][0]["volumeMounts"]}
    assert environment(name).get("STRIATE_MODELS") == where
    assert ("models" in mounts) is (where is not None)
    assert all(mounts[each]["readOnly"] for each in mounts if each != "tmp")


def test_a_claim_is_mounted_to_be_written_where_that_is_asked_for() -> None:
    for name, read_only in (("claim", True), ("writable", False)):
        (mount,) = [mount for mount in pod(name)["containers"][0]["volumeMounts"] if mount["name"] == "models"]
        (volume,) = [volume for volume in pod(name)["volumes"] if volume["name"] == "models"]
        assert (mount["readOnly"], volume["persistentVolumeClaim"]["readOnly"]) == (read_only, read_only)


def test_an_object_store_is_copied_before_the_service_starts() -> None:
    (copies,) = pod("store")["initContainers"]
    assert copies["args"] == ["copy", "--config=", "--checksum", "--verbose", "store:bucket/models", "/models"]
    assert copies["envFrom"] == [{"secretRef": {"name": "store"}}]
    assert copies["volumeMounts"] == [{"name": "models", "mountPath": "/models"}]
    assert "initContainers" not in pod("claim")


def test_keys_come_from_a_secret_as_a_folder() -> None:
    """Mounted as a folder: a file mounted by subPath would not follow a change of the Secret."""
    assert environment("keys")["STRIATE_KEYS"] == "/run/secrets/striate/keys.toml"
    (mount,) = [mount for mount in pod("keys")["containers"][0]["volumeMounts"] if mount["name"] == "keys"]
    assert mount == {"name": "keys", "mountPath": "/run/secrets/striate", "readOnly": True}
    (volume,) = [volume for volume in pod("keys")["volumes"] if volume["name"] == "keys"]
    assert volume["secret"] == {"secretName": "striate-keys", "defaultMode": 0o440}


def test_prometheus_finds_the_service_by_its_operator() -> None:
    monitor, service = rendered("watched")["ServiceMonitor"], rendered("watched")["Service"]
    (endpoint,) = monitor["spec"]["endpoints"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "striate"  # the alerts ask for this job
    assert endpoint["port"] == service["spec"]["ports"][0]["name"]
    assert endpoint["authorization"] == {"credentials": {"name": "striate-metrics", "key": "metrics.key"}}
    assert monitor["metadata"]["labels"]["release"] == "prom"


def test_a_prometheus_of_another_namespace_may_call_too() -> None:
    (rule,) = rendered("watched")["NetworkPolicy"]["spec"]["ingress"]
    own, theirs = rule["from"]
    assert own == {"podSelector": {}}
    assert theirs == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    (row,) = re.findall(r"^\| metrics \|.*$", (CHART.parents[1] / "docs/deployment.md").read_text(), re.MULTILINE)
    assert {"`monitor.namespace`", "`monitor.enabled: true`"} <= set(re.findall(r"`.+?`", row))


def test_nobody_is_reached_from_a_pod_and_only_its_port_from_outside() -> None:
    policy = rendered("keys")["NetworkPolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["egress"] == []
    assert policy["ingress"] == [{"ports": [{"port": "http", "protocol": "TCP"}], "from": [{"podSelector": {}}]}]
    assert rendered("everything")["NetworkPolicy"]["spec"]["egress"] == [{"ports": [{"port": 443, "protocol": "TCP"}]}]


def test_replicas_are_the_autoscalers_where_there_is_one() -> None:
    assert rendered("keys")["Deployment"]["spec"]["replicas"] == 2
    assert "replicas" not in rendered("scaled")["Deployment"]["spec"]
