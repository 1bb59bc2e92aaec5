"""The real Flower, however it is started: it lets in who has an account, and does not start without one."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from orchestrator.embedded import process
from tests import flower
from tests.installation import Installation
from tests.unit.test_flower_access import NO_ACCOUNT, NOT_SET

MANIFEST = next(yaml.safe_load_all((process.CHECKOUT / "deploy" / "kubernetes" / "flower.yaml").read_text()))
(CONTAINER,) = MANIFEST["spec"]["template"]["spec"]["containers"]
# What the image is told in a cluster; compose and Procfile say the same (tests/unit)
IN_THE_IMAGE = [sys.executable, "-m", *CONTAINER["args"]]
BY_PROCFILE = [sys.executable, "-m", "honcho", "-e", os.devnull, "--no-colour", "start", "flower"]
BEFORE_ALL_START = [sys.executable, "-m", "config"]


def start(command: list[str], account: str | None) -> subprocess.CompletedProcess[str]:
    """Nothing listens at this broker: whoever gets as far as asking it has started."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "DATABASE_URL": "postgresql://127.0.0.1:1/nowhere",
        "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
    }
    environment.pop("FLOWER_BASIC_AUTH", None)
    if account is not None:
        environment["FLOWER_BASIC_AUTH"] = account
    return subprocess.run(
        command, env=environment, cwd=process.CHECKOUT, capture_output=True, text=True, timeout=60, check=False
    )  # fmt: skip


@pytest.mark.parametrize(
    ("command", "account", "says"),
    [
        (IN_THE_IMAGE, None, NOT_SET),
        (IN_THE_IMAGE, "", NOT_SET),
        (IN_THE_IMAGE, "ops", NO_ACCOUNT),
        # Arguments overrule the environment
        ([*IN_THE_IMAGE, "--basic_auth="], "ops:secret", NOT_SET),
        (BEFORE_ALL_START, "", NOT_SET),
    ],
)
def test_flower_does_not_start_without_an_account_and_says_so_in_one_line(
    command: list[str], account: str | None, says: str
) -> None:
    done = start(command, account)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"reembed: {says}\n")


def test_the_procfile_does_not_start_flower_without_an_account_either() -> None:
    done = start(BY_PROCFILE, "")
    assert done.returncode == 2
    assert next(line for line in done.stdout.splitlines() if "reembed:" in line).endswith(NOT_SET)


def test_whoever_has_the_account_sees_flower_and_nobody_else_sees_more_than_that_it_is_well(
    new_installation: Callable[..., Installation],
) -> None:
    with flower.beside(new_installation()) as watched:
        for path in ("/", "/tasks", "/api/workers", "/metrics"):
            assert watched.status(path) == 200, path
            for account in (None, "ops:guessed"):
                assert watched.status(path, account=account) == 401, (path, account)
        assert watched.status("/healthcheck", account=None) == 200
