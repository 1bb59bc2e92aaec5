"""Numbers as they are typed: what is none, or out of bounds, is refused in plain words before anything is looked at."""

import pytest
from click.testing import CliRunner

from orchestrator.command import main

BUDGET, UNTIL = "a number above 0", "a number above 0 and below 100"
PERCENT = "a whole number from 1 to 100"


@pytest.mark.parametrize(
    ("command", "option", "wanted"),
    [
        *(
            (command, f"{option}={value}", wanted)
            for command in ("start", "resume")
            for option, wanted, values in (
                ("--budget", BUDGET, ("-1", "0", "nan", "inf", "much")),
                ("--until", UNTIL, ("0", "-5", "100", "nan", "half")),
            )
            for value in values
        ),
        *(("switch", f"--percent={value}", PERCENT) for value in ("0", "101", "5.5", "all")),
        ("validate", "--sample=many", "a whole number from 1 on"),
        ("validate", "--threshold=high", "a number"),
        ("metrics", "--port=99999", "a whole number from 1 to 65,535"),
        ("demo", "--documents=5", "a whole number from 100 on"),
    ],
)
def test_an_amount_that_is_none_is_wrong_use(command: str, option: str, wanted: str) -> None:
    name, value = option.split("=")
    answer = CliRunner().invoke(main.reembed, [command, option])
    assert answer.exit_code == 2
    assert f"Invalid value for '{name}': '{value}' is not {wanted}.\n" in answer.stderr
