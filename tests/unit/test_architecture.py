"""The house: imports run one way, Celery has its doors, queries their users, the environment its two readers."""

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.embedded.process import CHECKOUT

ROOMS = {
    "reembed": {"reembed"},
    "config": {"reembed", "config"},
    "workers": {"reembed", "config", "workers"},
    "orchestrator": {"reembed", "config", "workers", "orchestrator"},
}
# Inside the library; `errors` and `settings` are below all of them
FLOORS = {
    "database": {"errors", "events", "settings", "database"},
    "embedding": {"errors", "settings", "embedding"},
    "retrieval": {"errors", "events", "settings", "database", "embedding", "retrieval"},
}
CELERY_DOORS = {
    "config/celery_app.py",
    "config/clock.py",
    "config/result_backend.py",
    "orchestrator/dispatch.py",
    "orchestrator/doctor/roll_call.py",
    "workers/drain.py",
    "workers/tasks.py",
}
FILES = sorted(path.relative_to(CHECKOUT) for room in ROOMS for path in (CHECKOUT / room).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, as deep as it is named."""
    for node in ast.walk(ast.parse((CHECKOUT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def calls(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse((CHECKOUT / path).read_text())):
        if isinstance(node, ast.Call):
            yield node


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_room_imports_only_rooms_below_it(path: Path) -> None:
    allowed = ROOMS[path.parts[0]]
    if path.as_posix() == "reembed/__main__.py":
        # The console script looks for the application, and says so where there is none
        allowed = allowed | {"orchestrator"}
    assert {name.split(".")[0] for name in imports(path)} & set(ROOMS) <= allowed


@pytest.mark.parametrize("path", [path for path in FILES if path.parts[1] in FLOORS], ids=str)
def test_inside_the_library_imports_go_down(path: Path) -> None:
    used = {name.split(".")[1] for name in imports(path) if name.startswith("reembed.")}
    assert used <= FLOORS[path.parts[1]]


@pytest.mark.parametrize("path", FILES, ids=str)
def test_celery_is_known_behind_its_doors_alone(path: Path) -> None:
    if path.as_posix() in CELERY_DOORS:
        return
    assert not {"celery", "kombu", "billiard"} & {name.split(".")[0] for name in imports(path)}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_the_environment_is_read_in_the_two_settings_files(path: Path) -> None:
    # These give an environment to the processes they start
    if path.parts[:2] in {("orchestrator", "embedded"), ("orchestrator", "demo")}:
        return
    source = (CHECKOUT / path).read_text()
    assert "os.environ" not in source
    assert "getenv" not in source


def test_every_query_has_a_purpose_and_a_user_and_every_query_used_exists() -> None:
    text = (CHECKOUT / "reembed/database/queries.sql").read_text()
    blocks = re.split(r"^-- (\w+) --$", text, flags=re.MULTILINE)[1:]
    names = blocks[::2]
    assert len(names) == len(set(names))
    for name, body in zip(names, blocks[1::2], strict=True):
        assert re.match(r"\n-- \w", body), f"{name} has no purpose"
    used = set()
    for path in FILES:
        for call in calls(path):
            for argument in call.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    used.add(argument.value)
    # Composed in a loop, or chosen by the storage
    for room in ("columns", "companion", "documents", "indexes"):
        tree = ast.parse((CHECKOUT / f"reembed/database/{room}.py").read_text())
        used |= {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
    assert set(names) - used == set()


def test_every_table_and_rule_of_the_ledger_says_what_it_is_for() -> None:
    lines = (CHECKOUT / "reembed/database/schema.sql").read_text().splitlines()
    for before, line in itertools.pairwise(lines):
        if re.match(r"CREATE (TABLE|UNIQUE INDEX|VIEW)", line):
            assert before.startswith("-- "), line


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_file_has_one_idea_and_says_which(path: Path) -> None:
    source = (CHECKOUT / path).read_text()
    assert ast.get_docstring(ast.parse(source)), "no docstring"
    assert len(source.splitlines()) <= 250, "split it by idea"
