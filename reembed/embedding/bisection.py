"""Bisection: one text that a provider refuses must not cost its neighbours their vectors.

1. Ask for all the texts. A request that is refused is cut in two, and each half is asked for, left before
   right. One bad text among n costs about 2 log2(n) requests; what a half was answered is kept and never
   asked for again.
2. A request may be refused for its sum only. Then both halves pass, and nobody is blamed.
3. A text that is refused alone is to blame, if the provider takes texts at all. A request that has been
   accepted proves that it does. Where none has been yet, one harmless text is asked for; if that is refused
   too, the fault is the provider's or the configuration's, and no document is condemned.

Rule 3 asks instead of counting: two recorded failures that are tried again meet in one request, are refused
alone in the same words, and are to blame all the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reembed import errors
from reembed.embedding import wire

HARMLESS = "hello"

Embed = Callable[[Sequence[str]], wire.Embedded]


@dataclass(frozen=True)
class Apart:
    """The texts that were accepted, apart from those that were refused."""

    vectors: NDArray[np.float32]
    """(accepted, dimensions), in the order of `accepted`."""
    accepted: list[int]
    """Positions in the texts, ascending. Every position is here or in `refused`, unless there is a `fault`."""
    refused: dict[int, errors.DocumentRefused]
    """By position, with the provider's words."""
    tokens: int
    """Billed for everything accepted."""
    fault: errors.ReembedError | None = None
    """What ended it half-way: some texts were not asked for, and those that were are paid for all the same."""


def embed_apart(embed: Embed, texts: Sequence[str]) -> Apart:
    """Embed the texts, apart from those that the provider refuses for their own sake. At least one text.

    `embed` makes one request and raises errors.RequestRefused if it is refused; whatever else it raises
    passes through, or is the `fault` of a result where there is something to keep. Raises errors.Broken if the
    provider refuses a harmless text as well.
    """
    answers: list[wire.Embedded] = []
    accepted: list[int] = []
    refused: dict[int, errors.DocumentRefused] = {}
    fault: errors.ReembedError | None = None
    # A stack with the leftmost part on top, so that answers come in the order of the texts
    waiting = [range(len(texts))]
    while waiting:
        part = waiting.pop()
        try:
            answers.append(embed(texts[part.start : part.stop]))
        except errors.RequestRefused as refusal:
            if len(part) > 1:
                middle = len(part) // 2
                waiting += [part[middle:], part[:middle]]
                continue
            if not answers:
                answers.append(_without_vectors(_embed_harmless(embed)))
            refused[part.start] = errors.DocumentRefused(reason=refusal.fields["reason"])
        except errors.ReembedError as error:
            if not answers:
                raise
            fault = error
            break
        else:
            accepted += part
    vectors = np.concatenate([answer.vectors for answer in answers])
    return Apart(vectors, accepted, refused, sum(answer.tokens for answer in answers), fault)


def _embed_harmless(embed: Embed) -> wire.Embedded:
    try:
        return embed([HARMLESS])
    except errors.RequestRefused as refusal:
        reason = f"the provider refuses every text, even {HARMLESS!r}: {refusal.fields['reason']}"
        raise errors.Broken(reason=reason) from None


def _without_vectors(answer: wire.Embedded) -> wire.Embedded:
    """Of the harmless text only the width and the bill matter."""
    return wire.Embedded(answer.vectors[:0], answer.tokens)
