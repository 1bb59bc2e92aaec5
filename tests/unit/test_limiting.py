"""--budget and --until take amounts that one can keep to, and refuse all others before anything is looked at."""

import pytest
from click.testing import CliRunner

from orchestrator.command import main


@pytest.mark.parametrize("command", ["start", "resume"])
@pytest.mark.parametrize(
    "option",
    ["--budget=-1", "--budget=0", "--budget=nan", "--budget=inf", "--budget=much", "--until=0", "--until=-5",
     "--until=100", "--until=nan", "--until=half"],
)  # fmt: skip
def test_an_amount_that_is_none_is_wrong_use(command: str, option: str) -> None:
    answer = CliRunner().invoke(main.reembed, [command, option])
    assert answer.exit_code == 2
    assert f"Invalid value for '{option.split('=', maxsplit=1)[0]}'" in answer.stderr
