"""The manifests: sound by Kubernetes's own schemas, and the same processes as the Procfile's."""

import math
import re
from typing import Any

import kubernetes_validate
import pytest
import yaml

from config.settings import Settings
from orchestrator.embedded.process import CHECKOUT
from reembed.embedding import packing
from tests.unit.test_deployment import ROLES, SECRET, in_a_container

VERSIONS = ("1.31", "1.37")
DIRECTORY = CHECKOUT / "deploy" / "kubernetes"
OBJECTS: list[dict[str, Any]] = [
    item
    for path in sorted(DIRECTORY.glob("*.yaml"))
    if path.name != "kustomization.yaml"
    for item in yaml.safe_load_all(path.read_text())
]
PODS = {
    item["metadata"]["name"]: item["spec"]["template"]["spec"]
    for item in OBJECTS
    if item["kind"] == "Deployment"
}
# By hand, from KEDA's custom resource definitions: no package has a schema of them that Python reads
KEDA = {
    "TriggerAuthentication": {"secretTargetRef"},
    "ScaledObject": {
        "scaleTargetRef", "minReplicaCount", "maxReplicaCount", "pollingInterval", "cooldownPeriod", "triggers"
    },
}  # fmt: skip


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [item for item in OBJECTS if item["kind"] == kind]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "item",
    [item for item in OBJECTS if item["kind"] not in KEDA],
    ids=lambda item: f"{item['kind']} {item['metadata']['name']}",
)
def test_the_schema_knows_every_field(item: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(item, version, strict=True)


@pytest.mark.parametrize("kind", KEDA)
def test_keda_knows_every_field(kind: str) -> None:
    (item,) = of_kind(kind)
    assert item["apiVersion"] == "keda.sh/v1alpha1"
    assert set(item["spec"]) <= KEDA[kind]


def test_the_scaler_asks_for_what_the_ledger_offers_and_scales_what_there_is() -> None:
    (scaled,), (account,) = of_kind("ScaledObject"), of_kind("TriggerAuthentication")
    (trigger,) = scaled["spec"]["triggers"]
    schema = (CHECKOUT / "reembed" / "database" / "schema.sql").read_text()
    assert trigger["metadata"]["query"] == "SELECT reembed.workload()"
    assert "CREATE FUNCTION reembed.workload()" in schema
    assert trigger["authenticationRef"]["name"] == account["metadata"]["name"]
    assert scaled["spec"]["scaleTargetRef"]["name"] in PODS


def test_the_ceiling_is_what_the_quota_feeds_and_the_comment_works_it_out() -> None:
    (scaled,), (configuration,) = of_kind("ScaledObject"), of_kind("ConfigMap")
    settings = Settings.model_validate(
        {"database_url": "postgresql://"}
        | {name.lower(): value for name, value in configuration["data"].items()}
    )
    requests, tokens = settings.embed_requests_per_minute, settings.embed_tokens_per_minute
    comment = (DIRECTORY / "scaling.yaml").read_text()
    ((a_document,), (seconds,)) = (
        [int(found) for found in re.findall(pattern, comment)]
        for pattern in (r"x (\d+) of a document", r"x (\d+) s ")
    )
    largest = packing.largest_request(settings.embed_batch_tokens, requests, tokens)
    of_a_request = min(largest, settings.embed_batch_size * a_document)
    by_requests, by_tokens = requests / 60, tokens / 60 / of_a_request
    in_flight = min(by_requests, by_tokens) * seconds
    (worker,) = PODS["worker"]["containers"]
    processes = int(worker["args"][worker["args"].index("-c") + 1])
    of_a_pod = processes * settings.embed_concurrency
    assert scaled["spec"]["maxReplicaCount"] == math.ceil(in_flight / of_a_pod)
    assert scaled["spec"]["minReplicaCount"] <= scaled["spec"]["maxReplicaCount"]
    for said in (
        f"{settings.embed_batch_tokens:,} (EMBED_BATCH_TOKENS)",
        f"{settings.embed_batch_size} (EMBED_BATCH_SIZE)",
        f"{largest:,}, because",
        f"{requests:,} / 60 = {by_requests:.1f}",
        f"{tokens:,} / 60 / {of_a_request:,} = {by_tokens:.1f}",
        f"{min(by_requests, by_tokens):.1f} x {seconds} s that",
        f"provider is slow = {in_flight:.1f}\n",
        f"{processes} processes x {settings.embed_concurrency} (EMBED_CONCURRENCY) = {of_a_pod}",
        f"{in_flight:.1f} / {of_a_pod} are {scaled['spec']['maxReplicaCount']} pods",
        f"{by_requests:.1f} x {seconds} / {of_a_pod} are {math.ceil(by_requests * seconds / of_a_pod)}\n",
    ):
        assert said in comment, said


@pytest.mark.parametrize("pods", [1, 2, 3, 8])
def test_a_node_can_be_drained_however_many_workers_there_are_and_of_several_some_stay(pods: int) -> None:
    (budget,) = [
        item["spec"] for item in of_kind("PodDisruptionBudget") if item["metadata"]["name"] == "worker"
    ]
    # `minAvailable: 1` would hold up a drain while there is only one
    share = int(budget["maxUnavailable"].rstrip("%")) / 100
    may_go = math.ceil(pods * share)
    assert may_go >= 1
    assert may_go < pods or pods == 1


def test_a_pod_may_call_everything_that_a_setting_can_point_to() -> None:
    (rules,) = [item["spec"]["egress"] for item in of_kind("NetworkPolicy") if "egress" in item["spec"]]
    reached = {port["port"] for rule in rules for port in rule["ports"]}
    postgres, redis, rabbitmq = {5432, 6432}, {6379, 6380}, {5672, 5671}
    provider, traces, names = {443}, {4318}, {53}
    assert reached == postgres | redis | rabbitmq | provider | traces | names


@pytest.mark.parametrize("role", ROLES)
def test_a_pod_runs_the_command_of_the_procfile(role: str) -> None:
    (container,) = PODS[role]["containers"]
    assert container["args"] == in_a_container(role)


def test_every_file_is_applied_and_no_other() -> None:
    kustomization = yaml.safe_load((DIRECTORY / "kustomization.yaml").read_text())
    assert set(kustomization["resources"]) == {path.name for path in DIRECTORY.glob("*.yaml")} - {
        "kustomization.yaml"
    }


@pytest.mark.parametrize("name", sorted(PODS))
def test_a_pod_may_do_nothing_that_it_does_not_need(name: str) -> None:
    pod = PODS[name]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}
    }  # fmt: skip
    assert "memory" in container["resources"]["limits"]
    assert "livenessProbe" in container or "readinessProbe" in container


def test_no_secret_is_in_a_manifest_and_every_variable_is_one() -> None:
    (configuration,) = of_kind("ConfigMap")
    assert set(configuration["data"]) <= {name.upper() for name in Settings.model_fields}
    assert not [name for name in configuration["data"] if SECRET.search(name)]
    assert not of_kind("Secret")


def test_flower_names_the_secret_that_its_account_comes_from() -> None:
    (container,) = PODS["flower"]["containers"]
    assert container["env"] == [
        {
            "name": "FLOWER_BASIC_AUTH",
            "valueFrom": {"secretKeyRef": {"name": "reembed", "key": "FLOWER_BASIC_AUTH"}},
        }
    ]


def test_of_beat_there_is_one_and_a_budget_keeps_workers_and_control() -> None:
    (beat,) = [item for item in of_kind("Deployment") if item["metadata"]["name"] == "beat"]
    assert (beat["spec"]["replicas"], beat["spec"]["strategy"]) == (1, {"type": "Recreate"})
    kept = [
        item["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"]
        for item in of_kind("PodDisruptionBudget")
    ]
    assert sorted(kept) == ["control", "worker"]
