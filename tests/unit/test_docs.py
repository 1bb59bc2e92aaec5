"""The documents say what the code does: every setting, command, option and file, and none that is not there."""

import re
from pathlib import Path

import click
import pytest
from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from config.settings import Settings
from orchestrator.command.main import reembed
from orchestrator.embedded.process import CHECKOUT

DOCUMENTS = sorted([*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/*.md")])
ROW = re.compile(r"^\| `([A-Z0-9_]+)` \|(.*?)\|", re.MULTILINE)


def rows() -> dict[str, str]:
    """Each variable of docs/configuration.md and what it says of the default."""
    found = ROW.findall((CHECKOUT / "docs/configuration.md").read_text())
    return {name: default.strip() for name, default in found}


def test_every_setting_is_documented_and_no_other() -> None:
    assert set(rows()) == {name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_a_documented_default_is_the_default(name: str) -> None:
    default = Settings.model_fields[name].default
    if default is None or default is PydanticUndefined:
        # Unset, or derived from another: said in words
        assert "`" not in rows()[name.upper()].replace("`OPENAI_BASE_URL`", "").replace(
            "`OPENAI_API_KEY`", ""
        )
        return
    shown = default.get_secret_value() if isinstance(default, SecretStr) else default
    assert rows()[name.upper()] == (f"`{shown}`" if shown != "" else "")


def sections() -> dict[str, str]:
    """The headings of docs/commands.md and the text below each."""
    parts = re.split(r"^## (.*)$", (CHECKOUT / "docs/commands.md").read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_command_is_documented_and_no_other() -> None:
    documented = {name for heading in sections() for name in re.findall(r"`reembed (\w+)`", heading)}
    assert documented == set(reembed.list_commands(click.Context(reembed)))


@pytest.mark.parametrize("name", reembed.list_commands(click.Context(reembed)))
def test_every_option_of_a_command_is_documented_and_no_other(name: str) -> None:
    command = reembed.get_command(click.Context(reembed), name)
    assert command is not None
    options = {option for parameter in command.params for option in parameter.opts}
    (text,) = [text for heading, text in sections().items() if f"`reembed {name}`" in heading]
    # `switch --force`: an option of one command in a section about two
    listed = re.findall(r"^- `(?:(\w+) )?(--[a-z-]+)", text, flags=re.MULTILINE)
    assert {option for owner, option in listed if owner in ("", name)} == options


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_of_a_document_leads_to_a_file(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", document.read_text())
    for target in targets:
        if "://" not in target:
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_names_exists(document: Path) -> None:
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    for name in re.findall(r"`((?:reembed|config|workers|orchestrator|tests|docs)/[\w/.]+)`", text):
        assert (CHECKOUT / name).exists(), name
