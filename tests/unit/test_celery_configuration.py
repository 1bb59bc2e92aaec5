"""The Celery application, as far as it can be wrong without being run."""

import pytest

from config import celery_app, result_backend, schedule
from config.settings import Settings

CONFIGURATION = celery_app.configuration(
    Settings.model_validate(
        {"database_url": "postgresql:///x", "catch_up_every_seconds": 7, "chunk_lease_seconds": 6}
    )
)


def test_messages_are_json_alone() -> None:
    assert CONFIGURATION["accept_content"] == ["json"]
    assert {CONFIGURATION[f"{what}_serializer"] for what in ("task", "result", "event")} == {"json"}


def test_callbacks_and_the_schedule_never_wait_behind_chunks() -> None:
    assert CONFIGURATION["task_routes"] == {"reembed.embed_chunk": {"queue": "reembed.embed"}}
    assert CONFIGURATION["task_default_queue"] == "reembed.control"
    assert [queue.name for queue in CONFIGURATION["task_queues"]] == ["reembed.embed", "reembed.control"]


def test_a_message_is_held_by_one_worker_until_its_task_is_over() -> None:
    assert (CONFIGURATION["task_acks_late"], CONFIGURATION["worker_prefetch_multiplier"]) == (True, 1)


def test_a_tick_of_the_schedule_expires_before_the_next() -> None:
    entries = CONFIGURATION["beat_schedule"].values()
    assert [(entry["task"], entry["schedule"]) for entry in entries] == [
        ("reembed.advance_all", 7),
        ("reembed.rescue_all", 2),
    ]
    assert [entry["options"]["expires"] for entry in entries] == [7, 2]
    assert {entry["options"]["queue"] for entry in entries} == {"reembed.control"}


@pytest.mark.parametrize(("lease", "every"), [(30.0, 10.0), (6.0, 2.0), (1.0, 1.0)])
def test_lapsed_leases_are_looked_for_three_times_a_lease_and_once_a_second_at_most(
    lease: float, every: float
) -> None:
    _, rescue = schedule.entries(600, lease, "any").values()
    assert rescue["schedule"] == every


def test_beat_answers_whoever_asks_whether_it_is_there() -> None:
    assert CONFIGURATION["beat_enable_remote_control"] is True


def test_nobody_subscribes_to_results() -> None:
    assert result_backend.Loader.override_backends["redis"] == "config.result_backend:RedisBackend"
    assert result_backend.Loader.override_backends["rediss"] == "config.result_backend:RedisBackend"
    assert celery_app.app.loader_cls == "config.result_backend:Loader"


def test_rabbitmq_keeps_quorum_queues_and_redis_is_told_nothing_of_them() -> None:
    environment = {"database_url": "postgresql:///x", "celery_broker_url": "amqp://broker"}
    on_rabbitmq = celery_app.configuration(Settings.model_validate(environment))
    kinds = [queue.queue_arguments for queue in on_rabbitmq["task_queues"]]
    assert kinds == [{"x-queue-type": "quorum"}] * 2
    assert on_rabbitmq["broker_transport_options"] == {"confirm_publish": True}
    assert [queue.queue_arguments for queue in CONFIGURATION["task_queues"]] == [{}, {}]
