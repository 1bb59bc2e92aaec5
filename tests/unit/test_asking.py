"""What one refusal means for all: a pause, as long as the provider asks for, within reason. And what is counted."""

import threading
from typing import Any

import pytest

from reembed import errors
from workers import asking
from workers.quota import Share
from workers.ruler import Ruler


class Recorded:
    """A quota that notes pauses, and a provider that has too much to do."""

    def __init__(self, retry_after: float | None) -> None:
        self.retry_after = retry_after
        self.pauses: list[float] = []
        self.given_back = 0

    def take(self, *_: Any) -> Share:
        return Share(1, b"", waited=2.5)

    def give_back(self, share: Share) -> None:
        self.given_back += 1

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def embed_documents(self, _: Any) -> None:
        raise errors.ProviderOverloaded(reason="too many requests", retry_after=self.retry_after)


@pytest.mark.parametrize(("asked_for", "paused"), [(None, 1.0), (8.0, 8.0), (86_400.0, 600.0)])
def test_a_provider_that_asks_for_a_day_is_asked_again_after_ten_minutes(
    asked_for: float | None, paused: float
) -> None:
    both: Any = Recorded(asked_for)
    counted: dict[str, float] = {}
    with pytest.raises(errors.ProviderOverloaded):
        asking.ask(
            both, both, Ruler(len), ["text"], 1,
            stop=threading.Event(), on_wait=lambda reason, seconds: None, count=counted.__setitem__,
        )  # fmt: skip
    assert (both.pauses, both.given_back) == ([paused], 1)
    # And both are counted: that it was held, for so long, and what became of it
    assert counted["held"] == 2.5
    assert set(counted) == {"held", "rate_limited"}
