"""Every error is one line that says what, why and what to type next."""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.embedded.process import CHECKOUT
from reembed import errors

ROOMS = ("reembed", "config", "workers", "orchestrator")
FILES = sorted(path for room in ROOMS for path in (CHECKOUT / room).rglob("*.py"))


def every_error() -> Iterator[type[errors.ReembedError]]:
    for path in FILES:
        if path.name != "__main__.py":
            importlib.import_module(".".join(path.relative_to(CHECKOUT).with_suffix("").parts))
    yield from below(errors.ReembedError)


def below(base: type[errors.ReembedError]) -> Iterator[type[errors.ReembedError]]:
    yield base
    for child in base.__subclasses__():
        yield from below(child)


ALL = sorted(set(every_error()), key=lambda error: error.__qualname__)
BY_NAME = {error.__name__: error for error in ALL}


def placeholders(error: type[errors.ReembedError]) -> set[str]:
    return set(re.findall(r"{(\w+)}", inspect.getdoc(error) or ""))


def test_there_are_errors_and_no_two_of_one_name() -> None:
    assert len(ALL) == len(BY_NAME) > 40


# Ends with the path of a log, which a full stop would be taken for a part of
NO_FULL_STOP = {"ProcessFailed"}


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_a_message_is_one_line_made_of_the_docstring(error: type[errors.ReembedError]) -> None:
    # Its own: an inherited one says something else
    assert "__doc__" in vars(error)
    message = str(error(**dict.fromkeys(placeholders(error), "thing")))
    assert message[0].isupper() or message.startswith("thing ")
    assert message.endswith(".")
    assert "\n" not in message
    assert "  " not in message
    assert not set("{}") & set(message)
    assert message == " ".join(re.sub(r"{\w+}", "thing", inspect.getdoc(error) or "").split())


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_every_error_has_an_exit_code_and_it_is_that_of_its_branch(error: type[errors.ReembedError]) -> None:
    # 0 would say that all is well
    assert error.exit_code in (1, 2, 3)
    for branch, code in ((errors.Refused, 1), (errors.Usage, 2), (errors.Broken, 2)):
        if issubclass(error, branch):
            assert error.exit_code == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ReembedError, 3),
        (errors.Transient, 3),
        (errors.Permanent, 3),
        (errors.LeaseLost, 3),
        (errors.Broken, 2),
        (errors.Usage, 2),
        (errors.Refused, 1),
    ],
)
def test_the_exit_code_says_what_became_of_it(error: type[errors.ReembedError], code: int) -> None:
    assert error.exit_code == code


def calls(path: Path) -> Iterator[tuple[ast.Call, type[errors.ReembedError]]]:
    """Where errors are made, and which."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            error = BY_NAME.get(ast.unparse(node.func).rsplit(".", 1)[-1])
            if error is not None:
                yield node, error


MADE = [
    pytest.param(call, error, id=f"{path.relative_to(CHECKOUT)}:{call.lineno}")
    for path in FILES
    for call, error in calls(path)
]


@pytest.mark.parametrize(("call", "error"), MADE)
def test_whoever_makes_an_error_gives_it_the_fields_of_its_message(
    call: ast.Call, error: type[errors.ReembedError]
) -> None:
    given = {keyword.arg for keyword in call.keywords}
    assert call.args == []
    # A field that is missing is a KeyError in the place of the error, one too many is never read
    assert given - {"retry_after"} == placeholders(error)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_an_error_that_is_raised_by_its_name_alone_has_nothing_to_fill_in(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Name | ast.Attribute):
            error = BY_NAME.get(ast.unparse(node.exc).rsplit(".", 1)[-1])
            assert error is None or placeholders(error) == set(), f"line {node.lineno}"


def test_every_error_is_raised_somewhere_or_is_a_branch() -> None:
    made = {call.values[1] for call in MADE}
    by_name = {
        BY_NAME.get(ast.unparse(node.exc).rsplit(".", 1)[-1])
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Name | ast.Attribute)
    }
    assert {error.__name__ for error in ALL if not error.__subclasses__()} <= {
        error.__name__ for error in (made | by_name) if isinstance(error, type)
    }


def drawn() -> dict[str, str | None]:
    """The tree in the docstring of errors.py: each class and the one above it."""
    above: list[str] = []
    tree: dict[str, str | None] = {}
    line = re.compile(r"^    ((?:[│ ] {3})*(?:[├└]── )?)([A-Z]\w+)", re.MULTILINE)
    for indent, name in line.findall(errors.__doc__ or ""):
        depth = len(indent) // 4
        tree[name] = above[depth - 1] if depth else None
        above[depth:] = [name]
    return tree


def test_the_tree_that_is_drawn_is_the_tree_that_is() -> None:
    defined = {
        name: None if value is errors.ReembedError else value.__bases__[0].__name__
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.ReembedError)
    }
    assert drawn() == defined


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("wrong", "Cannot do that: wrong."),
        ("It is wrong.", "Cannot do that: It is wrong."),
        ("and so on...", "Cannot do that: and so on."),
        ("version 1.2", "Cannot do that: version 1.2."),
        ("of\n  two\tlines", "Cannot do that: of two lines."),
        # Whatever a provider says is no template
        ("{reason} {0} %s", "Cannot do that: {reason} {0} %s."),
    ],
)
def test_a_reason_becomes_the_end_of_one_sentence_on_one_line(reason: str, message: str) -> None:
    assert str(errors.Usage(reason=reason)) == message


def test_what_and_why_come_first_and_what_to_type_next_last() -> None:
    error = errors.ProviderRefusedKey(base_url="https://api.example/v1", reason="no such key")
    assert str(error) == (
        "The provider at https://api.example/v1 refused the API key: no such key. "
        "Set OPENAI_API_KEY to a key that may use the model."
    )


def test_an_error_keeps_its_fields_for_whoever_catches_it() -> None:
    error = errors.ProviderOverloaded(reason="slow down.", retry_after=8.0)
    # As they were given: the provider's words are recorded beside the document
    assert (error.fields, error.retry_after) == ({"reason": "slow down."}, 8.0)
    assert errors.ProviderOverloaded(reason="slow down").retry_after is None
    assert errors.LeaseLost(chunk=7, migration=3).fields == {"chunk": 7, "migration": 3}
