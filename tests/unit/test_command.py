"""What the command says of itself, and amounts as it shows them."""

import tomllib

import pytest
from click.testing import CliRunner

from orchestrator.command import main, plan
from orchestrator.embedded.process import CHECKOUT


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    answer = CliRunner().invoke(main.reembed, ["--version"], prog_name="reembed")
    assert (answer.exit_code, answer.output) == (0, f"reembed {project['version']}\n")


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (4_096, "5 kB"),
        (61_440, "62 kB"),
        (99_999, "100 kB"),
        (122_880, "0.1 MB"),
        (16_384_000, "16.4 MB"),
        (1_234_567_890, "1,234.6 MB"),
    ],
)
def test_a_size_is_never_nothing(count: int, words: str) -> None:
    assert plan._bytes(count) == words
