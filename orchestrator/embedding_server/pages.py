"""A page of a list, as OpenAI cuts it: the newest first, `after` an id, at most `limit`."""

from collections.abc import Iterable

from tornado import web

from orchestrator.embedding_server import refusals


def page(
    handler: web.RequestHandler, newest_first: Iterable[dict[str, object]], default: int, largest: int
) -> dict[str, object]:
    """Of objects with an `id`, as the handler's query asks for it. Raises Refusal for what cannot be asked for."""
    items = list(newest_first)
    start = _start(items, handler.get_query_argument("after", ""))
    limit = _limit(handler.get_query_argument("limit", str(default)), largest)
    shown = items[start : start + limit]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": len(items) > start + limit,
    }


def _start(items: list[dict[str, object]], after: str) -> int:
    if not after:
        return 0
    for number, item in enumerate(items):
        if item["id"] == after:
            return number + 1
    raise refusals.invalid_parameter("after", after, "Expected the ID of an object in this list.")


def _limit(given: str, largest: int) -> int:
    if not given.isascii() or not given.isdigit() or not 1 <= int(given) <= largest:
        raise refusals.invalid_parameter("limit", given, f"Expected an integer from 1 to {largest}.")
    return int(given)
