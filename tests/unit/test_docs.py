"""The documents say what the code does: every setting, command, key, state and file, and none that is not there."""

import ast
import re
from pathlib import Path
from unittest.mock import MagicMock

import click
import pytest
from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from config.settings import Settings
from orchestrator.command import main, plan
from orchestrator.embedded.process import CHECKOUT
from orchestrator.progress import Status
from orchestrator.validation.verdict import Verdict
from reembed import errors

DOCUMENTS = sorted([*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/*.md")])
TEXTS = {path.name: path.read_text() for path in DOCUMENTS}
CONTEXT = click.Context(main.reembed)
COMMANDS = main.reembed.list_commands(CONTEXT)
# Names of variables that are read by others than our settings
IN_THE_PROCFILE = set(re.findall(r"\$\{?([A-Z]\w+)", (CHECKOUT / "Procfile").read_text()))
FOREIGN = IN_THE_PROCFILE | {
    "COMPOSE_PROFILES", "FLOWER_BASIC_AUTH", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_SERVICE_NAME",
    "POSTGRES_PASSWORD", "REDIS_PASSWORD"
}  # fmt: skip


def rows(text: str) -> dict[str, str]:
    """Each name in the first column of the tables, and what the second column says."""
    found = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|(.*?)\|", text, re.MULTILINE)
    return {name: second.strip() for first, second in found for name in re.findall(r"\w+", first)}


def options(name: str) -> set[str]:
    command = main.reembed.get_command(CONTEXT, name)
    assert command is not None
    return {option for parameter in command.params for option in parameter.opts}


def section(name: str) -> str:
    """What docs/commands.md says below the heading that names the command."""
    parts = re.split(r"^## (.*)$", TEXTS["commands.md"], flags=re.MULTILINE)
    pairs = zip(parts[1::2], parts[2::2], strict=True)
    (text,) = [text for heading, text in pairs if f"`reembed {name}`" in heading]
    return text


def anchors(text: str) -> set[str]:
    """The anchors that a forge gives to the headings."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def arrows(thing: str, text: str) -> set[tuple[str, str]]:
    return set(re.findall(rf"\('{thing}', +'(\w+)', +'(\w+)',", text))


def test_every_setting_is_documented_and_no_other() -> None:
    assert set(rows(TEXTS["configuration.md"])) == {name.upper() for name in Settings.model_fields}


def test_every_variable_that_is_read_beside_the_settings_is_documented_and_no_other() -> None:
    beside = TEXTS["configuration.md"].partition("## Beside these")[2]
    assert set(re.findall(r"`([A-Z]\w+)`", beside)) == FOREIGN - {
        name.upper() for name in Settings.model_fields
    }


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_a_documented_default_is_the_default(name: str) -> None:
    default = Settings.model_fields[name].default
    documented = rows(TEXTS["configuration.md"])[name.upper()]
    if default is None or default is PydanticUndefined:
        # Unset, or derived from another: said in words, or by the other's name
        assert set(re.findall(r"`(\w+)`", documented)) <= {"OPENAI_BASE_URL", "OPENAI_API_KEY"}
        return
    shown = default.get_secret_value() if isinstance(default, SecretStr) else default
    assert documented == (f"`{shown}`" if shown != "" else "")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_names_no_variable_that_nobody_reads(document: Path) -> None:
    named = set(re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)[=`]", document.read_text()))
    assert named <= {name.upper() for name in Settings.model_fields} | FOREIGN


def test_every_command_is_documented_and_no_other() -> None:
    headings = re.findall(r"^## (.*)$", TEXTS["commands.md"], re.MULTILINE)
    assert {name for heading in headings for name in re.findall(r"`reembed (\w+)`", heading)} == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_documented_and_no_other(name: str) -> None:
    # `switch --force`: an option of one command in a section about two
    listed = re.findall(r"^- `(?:(\w+) )?(--[a-z-]+)", section(name), flags=re.MULTILINE)
    assert {option for owner, option in listed if owner in ("", name)} == options(name)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_types_no_command_and_no_option_that_is_not_there(document: Path) -> None:
    text = document.read_text()
    typed = re.findall(r"(?:`|^)reembed (?:-v )?([a-z]\w*)((?: +(?:--)?[\w-]+)*)", text, re.MULTILINE)
    for name, rest in typed:
        assert name in COMMANDS, name
        assert set(re.findall(r"--[\w-]+", rest)) <= options(name), f"{name} {rest}"


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("plan", set(plan._plan_json(MagicMock()))),
        ("status", set(Status.__dataclass_fields__)),
        ("doctor", {"table", "errors", "warnings", "findings"}),
        ("failures", {"migration", "failures", "overlong"}),
        ("validate", set(Verdict.as_json(MagicMock()))),
    ],
)
def test_every_key_of_a_commands_json_is_documented_and_no_other(name: str, keys: set[str]) -> None:
    assert set(rows(section(name))) == keys


def test_every_exit_code_is_documented_and_no_other() -> None:
    documented = re.findall(r"^\| (\d) \|", TEXTS["commands.md"], re.MULTILINE)
    tree = (errors.Refused, errors.Usage, errors.Broken, errors.ReembedError)
    assert set(map(int, documented)) == {0} | {error.exit_code for error in tree}


@pytest.mark.parametrize("thing", ["migration", "chunk"])
def test_the_diagrams_of_states_have_every_arrow_and_no_other(thing: str) -> None:
    allowed = arrows(thing, (CHECKOUT / "reembed/database/schema.sql").read_text())
    diagrams = re.findall(r"```mermaid\n(.*?)```", TEXTS["glossary.md"], re.DOTALL)
    (drawn,) = [
        set(re.findall(r"(\w+) --> (\w+)", diagram))
        for diagram in diagrams
        if ("planned" in diagram) == (thing == "migration")
    ]
    # Said in a sentence, as it would hide the others
    given_up = {(state, to) for state, to in allowed if to == "aborted"}
    states = {state for arrow in allowed for state in arrow}
    before = states - {"switched", "cleaning", "cleaned", "aborted"} if thing == "migration" else set()
    assert given_up == {(state, "aborted") for state in before}
    assert drawn == allowed - given_up


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_of_a_document_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", document.read_text()):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        leads_to = document.parent / file if file else document
        assert leads_to.exists(), target
        assert not anchor or anchor in anchors(leads_to.read_text()), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_names_exists(document: Path) -> None:
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    for name in re.findall(r"`((?:reembed|config|workers|orchestrator|tests|docs)/[\w/.]+)`", text):
        assert (CHECKOUT / name).exists(), name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_test_that_a_document_names_is_in_the_file_it_names(document: Path) -> None:
    for name, file in re.findall(r"\[(test_\w+)\]\(([^)]+)\)", document.read_text()):
        tree = ast.parse((document.parent / file).read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, name


@pytest.mark.parametrize("document", ["README.md", "reliability.md"])
def test_every_promise_names_the_test_that_shows_it(document: str) -> None:
    tables = re.findall(r"^\|(.*\btest) \|\n\|[ |-]+\|\n((?:\|.*\|\n)+)", TEXTS[document], re.MULTILINE)
    assert tables
    for _, table in tables:
        for row in table.splitlines():
            assert re.search(r"\[test_\w+\]\([^)]+\)[^|]* \|$", row), row


def test_every_test_of_the_failure_matrix_is_in_its_table() -> None:
    tree = ast.parse((CHECKOUT / "tests/acceptance/test_failure_matrix.py").read_text())
    tests = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert {name for name in tests if name.startswith("test_")} <= set(
        re.findall(r"test_\w+", TEXTS["reliability.md"])
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_target_of_make_that_a_document_names_exists(document: Path) -> None:
    targets = set(re.findall(r"^(\w+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"(?:`|^)make (\w+)", document.read_text(), re.MULTILINE)
    assert set(named) <= targets
