"""The broker and the processes at it: Redis, workers, the control worker, beat."""

from collections.abc import Iterator

from config.settings import Settings
from orchestrator import dispatch
from orchestrator.doctor import clocks, roll_call
from orchestrator.doctor.finding import Finding

_CELERY = "celery -A config.celery_app"
_NAMES = {"worker": "worker", "control": "control worker", "beat": "beat"}


def broker() -> Iterator[Finding]:
    """That it answers. Raises dispatch.BrokerUnreachable, dispatch.BackendUnreachable."""
    dispatch.check_broker()
    yield from ()


def memory(settings: Settings) -> Iterator[Finding]:
    """That Redis forgets nothing by itself: chords are counted there, and the quota is. Raises redis.RedisError."""
    with dispatch.backend(settings.result_backend) as client:
        seen = client.info("memory")
    if seen["maxmemory"] and seen["maxmemory_policy"] != "noeviction":
        yield Finding(
            "backend.evicts",
            "warning",
            f"Redis drops keys when its memory is full (maxmemory-policy {seen['maxmemory_policy']}): the quota and "
            "the counters of chords among them.",
            "CONFIG SET maxmemory-policy noeviction, and the same in its configuration.",
        )


def alive() -> Iterator[Finding]:
    """Who answers the roll call, and by what clock. `start` can do without: chunks wait for whoever comes."""
    present = roll_call.call()
    for names, kind, without, command in (
        (present.workers, "worker", "nobody embeds", f"{_CELERY} worker -Q reembed.embed"),
        (
            present.controls,
            "control",
            "nobody takes a migration its next step",
            f"{_CELERY} worker -Q reembed.control",
        ),
        (
            present.beats,
            "beat",
            "nobody repeats what got lost, and nothing is caught up with",
            f"{_CELERY} beat",
        ),
    ):
        if not names:
            what = f"No {_NAMES[kind]} answers over the broker: {without}."
            yield Finding(f"{kind}.none", "warning", what, f"Start one with `{command}`.")
        else:
            yield Finding(f"{kind}.alive", "info", f"{len(names)} x {_NAMES[kind]}: {', '.join(names)}.", "")
    yield from clocks.schedule(present)
