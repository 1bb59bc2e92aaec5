"""Every error is one line that says what, why and what to type next."""

import importlib
import inspect
import re
from collections.abc import Iterator

import pytest

from orchestrator.embedded.process import CHECKOUT
from reembed import errors


def every_error(base: type[errors.ReembedError] = errors.ReembedError) -> Iterator[type[errors.ReembedError]]:
    for room in ("reembed", "config", "workers", "orchestrator"):
        for path in sorted((CHECKOUT / room).rglob("*.py")):
            if path.name != "__main__.py":
                importlib.import_module(".".join(path.relative_to(CHECKOUT).with_suffix("").parts))
    yield from _below(base)


def _below(base: type[errors.ReembedError]) -> Iterator[type[errors.ReembedError]]:
    yield base
    for child in base.__subclasses__():
        yield from _below(child)


ALL = sorted(set(every_error()), key=lambda error: error.__qualname__)


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_a_message_is_one_line_made_of_the_docstring(error: type[errors.ReembedError]) -> None:
    assert "__doc__" in vars(error)
    names = set(re.findall(r"{(\w+)}", inspect.getdoc(error) or ""))
    message = str(error(**dict.fromkeys(names | ({"reason"} & names), "thing")))
    assert "\n" not in message
    assert "{" not in message
    assert error.exit_code in (1, 2, 3)


def test_the_tree_that_is_drawn_is_the_tree_that_is() -> None:
    drawn = set(re.findall(r"(?:├──|└──|^    )\s*([A-Z]\w+)", errors.__doc__ or "", re.MULTILINE))
    defined = {
        name for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.ReembedError)
    }  # fmt: skip
    assert drawn == defined


def test_a_message_has_two_halves() -> None:
    error = errors.ProviderUnreachable(base_url="here", reason="it is\n\ndown.")
    assert (error.what, error.hint) == (
        "The provider at here cannot be reached: it is down.",
        "Check OPENAI_BASE_URL.",
    )
    assert str(error) == f"{error.what} {error.hint}"


def test_a_reason_that_is_a_sentence_makes_no_double_full_stop() -> None:
    assert str(errors.Usage(reason="It is wrong.")) == "Cannot do that: It is wrong."
