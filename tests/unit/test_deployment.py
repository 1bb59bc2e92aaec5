"""Procfile, compose file and image start the same processes, safely, with options that Celery and Flower have."""

import importlib
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import honcho.environ
import pytest
import yaml

from config.settings import Settings
from orchestrator.embedded.process import CHECKOUT

ROLES = ("worker", "control", "beat", "flower")
_SCHEDULE = "/tmp/reembed-beat-schedule"  # noqa: S108  where a container may write

COMPOSE_TEXT = (CHECKOUT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)
PROCFILE = dict(
    line.split(": ", 1)
    for line in (CHECKOUT / "Procfile").read_text().splitlines()
    if not line.startswith("#")
)
DOCKERFILE = (CHECKOUT / "Dockerfile").read_text().replace("\\\n", "")
SETTINGS = {name.upper() for name in Settings.model_fields}
SECRET = re.compile(r"PASSWORD|_KEY$|_AUTH$|_URL$|_BACKEND$|_HEADERS$")
# Compose's own, and what others than our settings read from the environment
FOREIGN = {"FLOWER_BASIC_AUTH", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_SERVICE_NAME"}

# By hand: those keys of a service in the Compose specification that we use. Its JSON schema is in no package that we
# depend on. For a key that it does not know, `docker compose` refuses the whole file
SERVICE_KEYS = {
    "build", "cap_drop", "command", "depends_on", "deploy", "entrypoint", "environment", "extra_hosts", "healthcheck",
    "image", "init", "ports", "profiles", "read_only", "restart", "security_opt", "shm_size", "stop_grace_period",
    "tmpfs", "user", "volumes",
}  # fmt: skip
DEPENDENCY_KEYS = {"condition", "required"}
HEALTHCHECK_KEYS = {"test", "interval", "timeout", "retries", "start_period"}
DURATION = re.compile(r"\d+[smh]")


def test_the_metrics_are_served_by_both_in_the_same_way() -> None:
    words = shlex.split(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", PROCFILE["metrics"]))
    assert words[0] == "exec"
    # Inside its container it listens to all; no port is published
    assert SERVICES["metrics"]["command"] == [*words[1:], "--host=0.0.0.0"]


def celery_command(role: str) -> list[str]:
    """The Procfile's command with its defaults filled in, without what goes before `celery`."""
    words = shlex.split(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", PROCFILE[role]))
    return words[words.index("celery") :]


def in_a_container(role: str) -> list[str]:
    """The same where nothing but /tmp can be written, and nobody reaches a port that is not published."""
    changes = {"--address=127.0.0.1": "--address=0.0.0.0", "celerybeat-schedule": _SCHEDULE}
    return [changes.get(word, word) for word in celery_command(role)]


def celery_options(subcommand: str) -> set[str]:
    module = importlib.import_module(f"celery.bin.{subcommand}")
    return {option for parameter in getattr(module, subcommand).params for option in parameter.opts}


def flower_options() -> set[str]:
    # Flower defines them when this module is imported
    importlib.import_module("flower.options")
    options = importlib.import_module("tornado.options").options
    return {f"--{name.replace('_', '-')}" for name in options}


@pytest.mark.parametrize("role", ROLES)
def test_compose_and_procfile_start_the_same(role: str) -> None:
    assert SERVICES[role]["command"] == in_a_container(role)


@pytest.mark.parametrize("role", ROLES)
def test_every_option_of_the_procfile_exists(role: str) -> None:
    quiet, application, *words = celery_command(role)[1:]
    subcommand = words[1]
    # Without a banner, which is no log line
    assert (quiet, application, words[0]) == ("-q", "-A", "config.celery_app")
    known = flower_options() if subcommand == "flower" else celery_options(subcommand)
    used = {word.split("=")[0] for word in words[2:] if word.startswith("-")}
    used = {option.replace("_", "-") for option in used} if subcommand == "flower" else used
    assert used
    assert used <= known


def test_every_queue_has_a_worker_and_a_schedule() -> None:
    queues = {command[command.index("-Q") + 1] for role in ROLES if "-Q" in (command := celery_command(role))}
    application = importlib.import_module("config.celery_app")
    assert queues == {application.EMBED_QUEUE, application.CONTROL_QUEUE}
    assert "beat" in celery_command("beat")


def test_workers_on_one_machine_have_names_of_their_own() -> None:
    # honcho says which of several it is; Flower shows two of one name as one
    for role in ("worker", "control"):
        assert f"-n ${{HONCHO_PROCESS_NAME:-{role}}}@%h" in PROCFILE[role]


def test_two_installations_on_one_machine_have_a_schedule_each() -> None:
    schedule = celery_command("beat")[celery_command("beat").index("-s") + 1]
    # In the checkout that it is started in, and no file of it
    assert "/" not in schedule
    assert f"{schedule}*" in (CHECKOUT / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_compose_knows_every_key(name: str) -> None:
    assert set(SERVICES[name]) <= SERVICE_KEYS
    assert set(SERVICES[name].get("healthcheck", {})) <= HEALTHCHECK_KEYS
    for other, how in SERVICES[name].get("depends_on", {}).items():
        assert other in SERVICES
        assert set(how) <= DEPENDENCY_KEYS
    for volume in SERVICES[name].get("volumes", []):
        assert volume.split(":")[0] in COMPOSE["volumes"]


def test_compose_has_nothing_else_at_its_top() -> None:
    assert {key for key in COMPOSE if not key.startswith("x-")} == {"services", "volumes"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_has_limits_and_time_to_stop(name: str) -> None:
    service = SERVICES[name]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert DURATION.fullmatch(service["stop_grace_period"])
    assert service["restart"] == ("no" if name == "reembed" else "unless-stopped")


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"reembed"}))
def test_every_service_that_goes_on_is_checked_seldom_enough(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    words = " ".join(check["test"])
    assert DURATION.fullmatch(check["interval"])
    # An interpreter a time would cost more than what it looks after
    assert "celery" not in words
    if name in ("worker", "control"):
        assert SERVICES[name]["environment"]["HEARTBEAT_FILE"] in words


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_container_is_root_or_may_become_more_than_it_is(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    # Our image has a user of its own
    assert name in OURS or service["user"] == name


@pytest.mark.parametrize("name", OURS)
def test_our_containers_write_nowhere_and_pass_signals_on(name: str) -> None:
    assert SERVICES[name]["read_only"] is True
    assert SERVICES[name]["init"] is True


@pytest.mark.parametrize("name", OURS)
def test_every_setting_reaches_our_containers_and_no_other(name: str) -> None:
    assert set(SERVICES[name]["environment"]) | {"FLOWER_BASIC_AUTH"} == SETTINGS | FOREIGN
    assert ("FLOWER_BASIC_AUTH" in SERVICES[name]["environment"]) == (name == "flower")


def interpolated(text: str, environment: dict[str, str]) -> str:
    """As Compose does it: from the inside to the outside, so also in a default that is not wanted.

    Raises KeyError, where it refuses the whole file.
    """

    def value(match: re.Match[str]) -> str:
        name, how, other = match.groups()
        found = environment.get(name, "")
        if not found and how == ":?":
            raise KeyError(name)
        return found or other

    while (text := re.sub(r"(?<!\$)\$\{(\w+)(:-|:\?)([^${}]*)\}", value, before := text)) != before:
        pass
    assert not re.search(r"(?<!\$)\$(?!\$)", text)
    return text


NEEDED = {"OPENAI_API_KEY": "a-key", "FLOWER_BASIC_AUTH": "ops:secret"}


def reached(environment: dict[str, str]) -> tuple[str, str, str]:
    """Database, broker and result backend of a worker, where these variables are set."""
    services = yaml.safe_load(interpolated(COMPOSE_TEXT, NEEDED | environment))["services"]
    worker = services["worker"]["environment"]
    return worker["DATABASE_URL"], worker["CELERY_BROKER_URL"], worker["CELERY_RESULT_BACKEND"] or ""


def test_whoever_has_a_database_and_a_broker_is_asked_for_no_password_of_ours() -> None:
    own = {
        "DATABASE_URL": "postgresql://me@db/rag?sslmode=require&x=1",
        "CELERY_BROKER_URL": "rediss://r:1/0",
    }
    assert reached(own) == (own["DATABASE_URL"], own["CELERY_BROKER_URL"], "")
    rabbit = own | {"CELERY_BROKER_URL": "amqp://r/", "CELERY_RESULT_BACKEND": "redis://r/1"}
    assert reached(rabbit) == (own["DATABASE_URL"], "amqp://r/", "redis://r/1")


def test_without_them_those_of_the_profiles_are_used() -> None:
    passwords = {"POSTGRES_PASSWORD": "secret", "REDIS_PASSWORD": "hidden"}
    assert reached(passwords) == (
        "postgresql://postgres:secret@postgres:5432/rag",
        "redis://:hidden@redis:6379/0",
        "",
    )
    # Each in a profile of its name, that nobody waits for who did not ask for it
    for name in ("postgres", "redis"):
        assert SERVICES[name]["profiles"] == [name]
        for ours in OURS:
            assert SERVICES[ours]["depends_on"][name] == {"condition": "service_healthy", "required": False}
    # What both say to an empty password: Postgres's image does not start by itself
    assert ': "$${REDIS_PASSWORD:?' in SERVICES["redis"]["command"][-1]


def test_the_readme_leads_from_the_image_to_a_switched_table_in_ten_commands() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (CHECKOUT / "README.md").read_text(), re.DOTALL)
    (block,) = [block for block in blocks if "docker compose" in block]
    commands = [shlex.split(line, comments=True) for line in block.splitlines()]
    assert len(commands) <= 10
    assert commands[0] == ["cp", ".env.example", ".env"]
    assert commands[1][:4] == ["docker", "compose", "up", "-d"]
    run = ["docker", "compose", "run", "--rm", "reembed"]
    assert SERVICES["reembed"]["entrypoint"] == ["reembed"]
    verbs = [words[len(run) :] for words in commands if words[: len(run)] == run]
    assert verbs == [["doctor"], ["plan"], ["start", "--wait"], ["validate"], ["switch"], ["cleanup"]]
    # It is said what Compose has to know
    assert "docker compose 2.20 or newer" in (CHECKOUT / "README.md").read_text()


def test_a_container_reaches_what_runs_on_the_machine() -> None:
    for name in OURS:
        assert SERVICES[name]["extra_hosts"] == ["host.docker.internal:host-gateway"]


def test_no_secret_is_in_the_file_and_none_has_a_default() -> None:
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if SECRET.search(variable) and value is not None:
                assert re.search(r"\$\{\w+:[?-]", value), f"{name}: {variable}"
    for name in ("OPENAI_API_KEY", "FLOWER_BASIC_AUTH"):
        assert set(re.findall(rf"(?<!\$)\$\{{{name}(..)", COMPOSE_TEXT)) == {":?"}, name
        with pytest.raises(KeyError, match=name):
            interpolated(COMPOSE_TEXT, NEEDED | {name: ""})
    for name in ("POSTGRES_PASSWORD", "REDIS_PASSWORD"):
        assert set(re.findall(rf"(?<!\$)\$\{{{name}(:-\}}|...)", COMPOSE_TEXT)) == {":-}"}, name


def test_the_example_names_every_variable_that_has_to_be_set_and_only_known_ones() -> None:
    example = dict(re.findall(r"^(\w+)=(.*)$", (CHECKOUT / ".env.example").read_text(), re.MULTILINE))
    needed = {*NEEDED, "POSTGRES_PASSWORD", "REDIS_PASSWORD"}
    assert set(re.findall(r"\$\{(\w+):\?", COMPOSE_TEXT)) <= needed
    assert (
        needed | {"DATABASE_URL", "COMPOSE_PROFILES"}
        <= set(example)
        <= needed | SETTINGS | {"COMPOSE_PROFILES"}
    )
    for name in needed | {"DATABASE_URL", "CELERY_BROKER_URL"}:
        assert example[name] == "''", name
    assert set(example["COMPOSE_PROFILES"].strip("'").split(",")) <= {"postgres", "redis"}


def test_the_example_says_nothing_else_than_the_defaults() -> None:
    values = honcho.environ.parse((CHECKOUT / ".env.example").read_text())
    for name, value in values.items():
        field = Settings.model_fields.get(name.lower())
        assert not value or field is None or value == str(field.default), name


AWKWARD = "postgresql://me:p%40s$HOME#1@host/db?sslmode=prefer&connect_timeout=5"


def test_a_shell_and_honcho_take_what_stands_in_the_quotes_of_the_example_as_it_is(tmp_path: Path) -> None:
    text = (CHECKOUT / ".env.example").read_text()
    assert "\nDATABASE_URL=''\n" in text
    (tmp_path / ".env").write_text(text.replace("DATABASE_URL=''", f"DATABASE_URL='{AWKWARD}'"))
    assert honcho.environ.parse((tmp_path / ".env").read_text())["DATABASE_URL"] == AWKWARD
    sourced = "set -a && . ./.env && set +a && printenv DATABASE_URL"
    done = subprocess.run(["sh", "-c", sourced], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"{AWKWARD}\n"


def test_images_are_pinned() -> None:
    images = [service["image"] for service in SERVICES.values() if "build" not in service]
    assert len(images) == 2
    for image in [*images, *re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)]:
        assert re.search(r":\d+\.\d+\.\d+-\w+", image), image


def test_redis_forgets_nothing_and_flower_is_published_on_loopback_alone() -> None:
    redis = " ".join(SERVICES["redis"]["command"])
    for option in ("--appendonly yes", "--maxmemory-policy noeviction", "--requirepass"):
        assert option in redis
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"flower": ["127.0.0.1:5555:5555"]}


def test_flower_is_not_started_without_a_password() -> None:
    # Flower itself refuses, however it is started: tests/acceptance/test_flower_access.py. Compose says so before
    # anything starts
    assert "--address=127.0.0.1" in PROCFILE["flower"]
    assert "${FLOWER_BASIC_AUTH:?" in SERVICES["flower"]["environment"]["FLOWER_BASIC_AUTH"]


def pinned(file: str) -> set[str]:
    """The names that a file of constraints gives one version each."""
    lines = re.findall(r"^([\w.-]+)==\S+$", (CHECKOUT / "deploy" / file).read_text(), re.MULTILINE)
    return {name.lower().replace("_", "-") for name in lines}


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=; ]", line)[0].lower().replace("_", "-") for line in requirements}


def test_the_image_installs_what_is_pinned_and_all_of_it() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["application"], *extras["tracing"]]
    assert names(wanted) <= pinned("constraints.txt")


def test_what_builds_the_wheel_of_the_image_is_pinned_too() -> None:
    build = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["build-system"]
    assert names(build["requires"]) <= pinned("build-constraints.txt")
    installs = re.findall(r"pip (?:--python \S+ )?(?:install|wheel) (.*?)(?:&&|$)", DOCKERFILE, re.MULTILINE)
    assert len(installs) == 3
    # Each takes wheels of pinned versions; the one that builds finds its backend there
    for options in installs:
        isolated = "--only-binary :all: --constraint" not in options
        assert not isolated or "--no-deps --no-build-isolation" in options, options


def test_nothing_can_be_installed_beside_the_application_in_the_image() -> None:
    assert "python -m venv --without-pip /venv" in DOCKERFILE
    final = DOCKERFILE.split("\nFROM ")[-1]
    assert "RUN pip" not in final
    assert final.index("USER ") > final.index("COPY orchestrator")


def test_the_image_starts_a_worker() -> None:
    match = re.search(r"^CMD (\[.*?\])$", DOCKERFILE, re.MULTILINE)
    assert match is not None, "no exec form"
    assert yaml.safe_load(match[1]) == celery_command("worker")


def test_the_image_runs_as_nobody_special_and_holds_the_application_alone() -> None:
    (user,) = re.findall(r"^USER (\d+)$", DOCKERFILE, re.MULTILINE)
    assert int(user) > 0
    assert f"--uid {user} " in DOCKERFILE
    final = DOCKERFILE.split("\nFROM ")[-1]
    copied = set(re.findall(r"^COPY (\w+) ", final, re.MULTILINE))
    assert copied == {"config", "workers", "orchestrator"}
    assert not re.search(r"^(?:ARG|ENV) .*(?:PASSWORD|KEY|AUTH)", DOCKERFILE, re.MULTILINE)


def test_what_the_image_copies_is_not_ignored_and_all_else_is() -> None:
    lines = (CHECKOUT / ".dockerignore").read_text().splitlines()
    kept = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        word
        for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)
        for word in line.split()[:-1]
    }
    assert "*" in lines
    assert kept == copied
