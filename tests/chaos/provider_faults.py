"""The faults of the provider, by their names.

What the server has computed counts as paid for, whether or not the answer was of use: that may be paid for twice.
"""

import datetime
import email.utils

from tests.chaos.scene import Scene
from tests.chaos.schedule import Event

# An answer with this status, to everybody, for a while
STATUS = {
    "provider: 401": 401,
    "provider: 403": 403,
    "provider: 402, quota spent": 402,
    "provider: 404, unknown model": 404,
    "provider: 500": 500,
    "provider: 502": 502,
    "provider: 503": 503,
    "provider: 504": 504,
}
# One answer that cannot be used
SPOILT = {
    "provider: one dimension less": "narrow",
    "provider: NaN": "nan",
    "provider: infinite values": "infinite",
    "provider: a vector too few": "fewer",
    "provider: no answer in time": "hang",
    "provider: half a body": "half",
    "provider: connection dropped": "drop",
}
# How a 429 names the time to wait; None: as the date in two seconds
PATIENCE: dict[str, dict[str, str] | None] = {
    "provider: 429, Retry-After in seconds": {"Retry-After": "2"},
    "provider: 429, Retry-After in ms": {"retry-after-ms": "700"},
    "provider: 429, Retry-After as a date": None,
    "provider: 429 without Retry-After": {},
}
OTHERS = ("provider: connections refused", "provider: slow")


def bring_about(scene: Scene, event: Event) -> int:
    """Returns how many documents may be embedded twice because of it."""
    provider, kind, chance = scene.installation.stack.provider, event.kind, event.chance
    if kind in STATUS:
        seconds = chance.uniform(0.5, 3)
        scene.tell_provider(lambda: provider.fail(STATUS[kind], seconds=seconds))
        return 0
    if kind in SPOILT:
        scene.tell_provider(lambda: provider.spoil(SPOILT[kind]))
        return 0 if kind == "provider: connection dropped" else scene.batch
    if kind in PATIENCE:
        headers, times = PATIENCE[kind], chance.randint(1, 4)
        told = _in_two_seconds() if headers is None else headers
        scene.tell_provider(lambda: provider.fail(429, times, headers=told))
        return 0
    if kind == "provider: connections refused":
        seconds = chance.uniform(0.5, 3)
        scene.tell_provider(lambda: provider.leave(seconds))
        return scene.everybody
    if kind == "provider: slow":
        scene.tell_provider(lambda: provider.set_latency(2 * scene.latency_ms))
        scene.after(4, lambda: scene.tell_provider(lambda: provider.set_latency(scene.latency_ms)))
        return 0
    raise ValueError(kind)


def _in_two_seconds() -> dict[str, str]:
    date = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2)
    return {"Retry-After": email.utils.format_datetime(date, usegmt=True)}
