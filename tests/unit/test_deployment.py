"""Procfile, compose file and image start the same processes, safely."""

import re
import shlex
from typing import Any

import pytest
import yaml

from orchestrator.embedded.process import CHECKOUT

ROLES = ("worker", "control", "beat", "flower")

COMPOSE: dict[str, Any] = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
PROCFILE = dict(
    line.split(": ", 1)
    for line in (CHECKOUT / "Procfile").read_text().splitlines()
    if not line.startswith("#")
)
DOCKERFILE = (CHECKOUT / "Dockerfile").read_text()


def celery_command(role: str) -> list[str]:
    """The Procfile's command with its defaults filled in, without what goes before `celery`."""
    words = shlex.split(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", PROCFILE[role]))
    return words[words.index("celery") :]


@pytest.mark.parametrize("role", ROLES)
def test_compose_and_procfile_start_the_same(role: str) -> None:
    # Inside its container Flower listens to all; the port is published on loopback
    expected = [word.replace("127.0.0.1", "0.0.0.0") for word in celery_command(role)]  # noqa: S104
    assert COMPOSE["services"][role]["command"] == expected


def test_the_image_starts_a_worker() -> None:
    match = re.search(r"^CMD (\[.*?\])$", DOCKERFILE.replace("\\\n", ""), re.MULTILINE)
    assert match is not None, "no exec form"
    assert yaml.safe_load(match[1]) == celery_command("worker")


def test_the_image_runs_as_nobody_special_and_is_pinned() -> None:
    assert re.search(r"^USER (?!root)\w+$", DOCKERFILE, re.MULTILINE)
    for base in re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE):
        assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base), base


@pytest.mark.parametrize("name", sorted(COMPOSE["services"]))
def test_every_service_has_limits_and_drops_what_it_does_not_need(name: str) -> None:
    service = COMPOSE["services"][name]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert "stop_grace_period" in service
    if service.get("build"):
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]


def test_no_password_has_a_default() -> None:
    text = (CHECKOUT / "docker-compose.yml").read_text()
    for name in ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "OPENAI_API_KEY", "FLOWER_BASIC_AUTH"):
        uses = re.findall(rf"(?<!\$)\$\{{{name}(.)", text)
        assert uses, name
        assert set(uses) == {":"}, name
        assert f"${{{name}:-" not in text, name


def test_redis_forgets_nothing_and_flower_is_published_on_loopback_alone() -> None:
    redis = " ".join(COMPOSE["services"]["redis"]["command"])
    for option in ("--appendonly yes", "--maxmemory-policy noeviction", "--requirepass"):
        assert option in redis
    published = {
        name: service["ports"] for name, service in COMPOSE["services"].items() if "ports" in service
    }
    assert published == {"flower": ["127.0.0.1:5555:5555"]}


def test_flower_is_not_started_without_a_password() -> None:
    assert PROCFILE["flower"].startswith(': "${FLOWER_BASIC_AUTH:?')
    assert ":?" in COMPOSE["services"]["flower"]["environment"]["FLOWER_BASIC_AUTH"]
