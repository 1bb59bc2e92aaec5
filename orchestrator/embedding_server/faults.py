"""What the server was told to do wrong, other than to say no: answers that break, and answers that lie.

A provider's account counts what it has computed, whether or not the answer arrived whole: so does ours.
"""

import asyncio

import numpy as np

from orchestrator.embedding_server import models, state
from orchestrator.embedding_server.app import Handler

BREAKS = ("drop", "half", "hang")
"""No answer and a closed connection; half of the body and a closed connection; silence until the client leaves."""
LIES = ("narrow", "nan", "infinite", "fewer")
"""Vectors of one dimension less; with a NaN or an infinite value; one vector less than texts."""


def any_at_all(_: state.Failure) -> bool:
    """An embedding request fails in every way there is."""
    return True


def spares_vectors(failure: state.Failure) -> bool:
    """A request that is answered without vectors has nothing to lie about."""
    return failure not in LIES


def spoils_vectors(failure: state.Failure) -> bool:
    """A line of a job is no request: it can be neither refused nor broken off."""
    return failure in LIES


async def break_off(handler: Handler, how: str, body: bytes, content_type: str) -> None:
    """Instead of the answer: one of BREAKS."""
    if how == "hang":
        await handler.client_left.wait()
        return
    stream = handler.detach()
    if how == "half":
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        await stream.write(head.encode() + body[: len(body) // 2])
        # The client must have read it before the connection is gone
        await asyncio.sleep(0.01)
    stream.close()


def falsify(vectors: models.Vectors, how: str) -> models.Vectors:
    """The vectors as one of LIES."""
    if how == "fewer":
        return vectors[:-1]
    if how == "narrow":
        return vectors[:, :-1]
    spoilt = vectors.copy()
    spoilt[0, 0] = np.nan if how == "nan" else np.inf
    return spoilt
