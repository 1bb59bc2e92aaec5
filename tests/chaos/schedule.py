"""What goes wrong, and when: drawn from a seed before anything starts, so that a run can be repeated."""

import random
from dataclasses import dataclass

# Kinds by whom they hit. Each of them happens at least once in a run that is long enough
WORKERS = (
    "worker killed",
    "worker's child killed",
    "worker frozen, then killed",
    "worker frozen beyond its lease, then thawed",
    "worker stopped",
    "control worker killed",
    "beat killed",
    "two beats",
)
REDIS = ("redis killed", "redis flushed", "redis connections cut")
POSTGRES = ("postgres restarted", "postgres crashed", "postgres sessions terminated")
# What stops a migration until a person types `resume`
STOPPING = (
    "provider: 401",
    "provider: 403",
    "provider: 402, quota spent",
    "provider: 404, unknown model",
    "provider: connections refused",
    "provider: one dimension less",
    "provider: NaN",
    "provider: infinite values",
    "provider: a vector too few",
)
PASSING = (
    "provider: 429, Retry-After in seconds",
    "provider: 429, Retry-After as a date",
    "provider: 429, Retry-After in ms",
    "provider: 429 without Retry-After",
    "provider: 500",
    "provider: 502",
    "provider: 503",
    "provider: 504",
    "provider: no answer in time",
    "provider: connection dropped",
    "provider: half a body",
    "provider: slow",
)
KINDS = WORKERS + REDIS + POSTGRES + STOPPING + PASSING

# Seconds between two faults: some meet, and most of the time there is something to recover from
_BETWEEN = (1.5, 3.5)


@dataclass(frozen=True)
class Event:
    at: float
    """Seconds after the start."""
    kind: str
    chance: random.Random
    """Whatever else the fault has to draw."""


def draw(seed: int, seconds: float) -> list[Event]:
    """The faults of a run of so many seconds: all kinds in random order, again and again."""
    chance = random.Random(seed)  # noqa: S311
    events: list[Event] = []
    deck: list[str] = []
    at = chance.uniform(*_BETWEEN)
    while at < seconds:
        if not deck:
            deck = chance.sample(KINDS, len(KINDS))
        events.append(Event(at, deck.pop(), random.Random(chance.random())))  # noqa: S311
        at += chance.uniform(*_BETWEEN)
    return events
