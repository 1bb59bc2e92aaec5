"""Which accounts Flower starts with, and what it says where it does not."""

import pytest

from config import flower_access

NOT_SET = (
    "Flower does not start: FLOWER_BASIC_AUTH is not set, and its page would be open to everybody. "
    "Set it to user:password."
)
NO_ACCOUNT = (
    "Flower does not start: FLOWER_BASIC_AUTH is not user:password (a comma begins another account), "
    "and its page would be open to everybody. Set it to user:password."
)


@pytest.mark.parametrize(
    ("accounts", "says"),
    [
        (None, NOT_SET),
        ([], NOT_SET),
        # Flower takes an empty variable for an account without a name, and lets it in
        ([""], NOT_SET),
        (["", ""], NOT_SET),
        (["ops"], NO_ACCOUNT),
        (["ops:"], NO_ACCOUNT),
        ([":guess"], NO_ACCOUNT),
        # A password with a comma in it
        (["ops:half", "other half"], NO_ACCOUNT),
        (["ops:secret", ""], NO_ACCOUNT),
    ],
)
def test_flower_does_not_start_where_somebody_without_a_password_would_be_let_in(
    accounts: list[str] | None, says: str
) -> None:
    with pytest.raises(flower_access.NoAccount) as refusal:
        flower_access.check(accounts, emails="")
    assert str(refusal.value) == says
    assert refusal.value.exit_code == 2


def test_flower_starts_with_accounts_or_with_a_sign_on_elsewhere() -> None:
    flower_access.check(["ops:secret"], emails="")
    flower_access.check(["ops:sec:ret", "other:secret"], emails="")
    flower_access.check(None, emails=r".*@example\.com")
    with pytest.raises(flower_access.NoAccount):
        flower_access.check([""], emails=r".*@example\.com")
