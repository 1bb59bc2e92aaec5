"""Bisection: who is to blame, and what finding out costs."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from reembed import errors
from reembed.embedding import bisection, wire


class Provider:
    """Refuses a request if `refuses` says so; the vector of text "7" is [7, 1]."""

    def __init__(self, refuses: Callable[[Sequence[str]], bool]) -> None:
        self._refuses = refuses
        self.requests: list[list[str]] = []

    def embed(self, texts: Sequence[str]) -> wire.Embedded:
        self.requests.append(list(texts))
        if self._refuses(texts):
            raise errors.RequestRefused(reason=f"no: {texts[0]}")
        vectors = [[float(text) if text.isdigit() else -1.0, 1.0] for text in texts]
        return wire.Embedded(np.array(vectors, np.float32), tokens=10 * len(texts))


def refusing(*bad: str) -> Provider:
    return Provider(lambda texts: any(text in bad for text in texts))


def texts_of(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def test_a_request_that_is_accepted_is_made_once() -> None:
    provider = refusing()
    apart = bisection.embed_apart(provider.embed, texts_of(4))
    assert len(provider.requests) == 1
    assert apart.accepted == [0, 1, 2, 3]
    assert apart.refused == {}
    assert apart.tokens == 40


@pytest.mark.parametrize("bad", [0, 1, 249, 250, 313, 499])
def test_one_bad_text_among_500_is_found_in_2_log2_n_requests(bad: int) -> None:
    provider = refusing(str(bad))
    apart = bisection.embed_apart(provider.embed, texts_of(500))
    assert list(apart.refused) == [bad]
    assert str(apart.refused[bad]) == f"The provider refuses this document: no: {bad}."
    assert apart.accepted == [position for position in range(500) if position != bad]
    assert apart.vectors[:, 0].tolist() == apart.accepted
    # The first, two for each halving, and for the leftmost text the harmless one
    assert len(provider.requests) <= 1 + 2 * 9 + 1


@pytest.mark.parametrize(
    "bad", [{0, 1}, {3, 4}, {0, 7}, {1, 2, 6}, {0, 1, 2, 3}, {4, 5, 6, 7}, set(range(7))], ids=str
)
def test_several_bad_texts_are_each_found_and_the_others_kept(bad: set[int]) -> None:
    provider = refusing(*map(str, bad))
    apart = bisection.embed_apart(provider.embed, texts_of(8))
    assert set(apart.refused) == bad
    assert apart.accepted == [position for position in range(8) if position not in bad]
    assert apart.vectors[:, 0].tolist() == apart.accepted


def test_no_text_is_asked_for_again_once_it_has_its_vector() -> None:
    provider = refusing("5")
    bisection.embed_apart(provider.embed, texts_of(8))
    assert provider.requests == [
        ["0", "1", "2", "3", "4", "5", "6", "7"],
        ["0", "1", "2", "3"],
        ["4", "5", "6", "7"],
        ["4", "5"],
        ["4"],
        ["5"],
        ["6", "7"],
    ]


def test_a_request_that_is_only_too_big_condemns_nobody() -> None:
    provider = Provider(lambda texts: len(texts) > 3)
    apart = bisection.embed_apart(provider.embed, texts_of(10))
    assert apart.refused == {}
    assert apart.accepted == list(range(10))
    assert apart.vectors[:, 0].tolist() == apart.accepted
    assert apart.tokens == 100


def test_a_provider_that_refuses_everything_is_found_out_early_and_condemns_nobody() -> None:
    provider = Provider(lambda _texts: True)
    with pytest.raises(errors.Broken) as caught:
        bisection.embed_apart(provider.embed, texts_of(500))
    assert str(caught.value) == (
        "The migration cannot go on: the provider refuses every text, even 'hello': no: hello. "
        "Mend the cause, then `reembed resume`."
    )
    # 500, 250, 125, 62, 31, 15, 7, 3, 1 and the harmless one
    assert len(provider.requests) == 10


def test_texts_that_are_all_bad_are_condemned_if_the_provider_takes_a_harmless_one() -> None:
    provider = Provider(lambda texts: texts != ["hello"])
    apart = bisection.embed_apart(provider.embed, ["0", "1"])
    assert set(apart.refused) == {0, 1}
    assert apart.accepted == []
    assert apart.vectors.shape == (0, 2)
    assert apart.tokens == 10
    assert provider.requests == [["0", "1"], ["0"], ["hello"], ["1"]]


@pytest.mark.parametrize(
    "error", [errors.ProviderOverloaded(reason="later"), errors.ProviderQuotaSpent(base_url="", reason="")]
)
def test_what_is_no_refusal_passes_through(error: errors.ReembedError) -> None:
    def embed(_texts: Sequence[str]) -> wire.Embedded:
        raise error

    with pytest.raises(type(error)) as caught:
        bisection.embed_apart(embed, texts_of(4))
    assert caught.value is error


@pytest.mark.parametrize("fault", [errors.Broken(reason="no key"), errors.ProviderUnavailable(reason="502")])
def test_a_fault_in_the_middle_costs_nothing_that_was_answered_before(fault: errors.ReembedError) -> None:
    provider = refusing("5")

    def embed(texts: Sequence[str]) -> wire.Embedded:
        if texts[0] == "6":
            raise fault
        return provider.embed(texts)

    apart = bisection.embed_apart(embed, texts_of(8))
    assert apart.fault is fault
    assert apart.accepted == [0, 1, 2, 3, 4]
    assert apart.vectors[:, 0].tolist() == apart.accepted
    assert list(apart.refused) == [5]
    assert apart.tokens == 50


def test_a_fault_before_any_answer_passes_through() -> None:
    def embed(texts: Sequence[str]) -> wire.Embedded:
        if len(texts) > 4:
            raise errors.RequestRefused(reason="no")
        raise errors.ProviderUnavailable(reason="502")

    with pytest.raises(errors.ProviderUnavailable):
        bisection.embed_apart(embed, texts_of(8))
