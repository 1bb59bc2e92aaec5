"""The Celery application, as far as it can be wrong without being run."""

import ast
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import QueueNotFound

from config import celery_app, result_backend, schedule
from config.settings import Settings
from orchestrator.embedded.process import CHECKOUT
from workers import backfill

EVERY_SECONDS = 7


def configuration(**environment: object) -> dict[str, Any]:
    return celery_app.configuration(
        Settings.model_validate(
            {"database_url": "postgresql:///x", "catch_up_every_seconds": EVERY_SECONDS, **environment}
        )
    )


CONFIGURATION = configuration()


@pytest.fixture(scope="module")
def application() -> Celery:
    """Ours in all but the environment: the one in config/celery_app.py belongs to processes that have one."""
    made = Celery("test", loader="config.result_backend:Loader", set_as_current=False)
    made.conf.update(CONFIGURATION)
    return made


def test_messages_are_json_alone(application: Celery) -> None:
    assert application.conf.accept_content == ["json"]
    # Unset: what it accepts of results is what it accepts of messages
    assert application.conf.result_accept_content is None
    for what in ("task", "result", "event"):
        assert application.conf[f"{what}_serializer"] == "json"


def test_a_broker_and_a_place_for_the_counters_are_the_environments() -> None:
    apart = configuration(celery_broker_url="amqp://rabbit//", celery_result_backend="redis://counters/1")
    assert (apart["broker_url"], apart["result_backend"]) == ("amqp://rabbit//", "redis://counters/1")
    assert CONFIGURATION["result_backend"] == CONFIGURATION["broker_url"] == "redis://localhost:6379/0"


@pytest.mark.parametrize(
    ("task", "queue"),
    [
        ("reembed.embed_chunk", "reembed.embed"),
        ("reembed.advance", "reembed.control"),
        ("reembed.advance_all", "reembed.control"),
        # Celery's own, such as a chord's unlocking
        ("celery.chord_unlock", "reembed.control"),
    ],
)
def test_callbacks_and_the_schedule_never_wait_behind_chunks(
    application: Celery, task: str, queue: str
) -> None:
    assert application.amqp.router.route({}, task)["queue"].name == queue


def test_each_queue_gets_its_own_messages_and_nobody_elses(application: Celery) -> None:
    queues = application.amqp.queues
    assert sorted(queues) == ["reembed.control", "reembed.embed"]
    # One exchange for both, and a broker that fans out by it would hand every message to both
    bindings = {(queue.exchange.name, queue.routing_key) for queue in queues.values()}
    assert bindings == {(name, name) for name in queues}


def test_a_typing_error_in_a_queues_name_is_an_error_and_not_a_queue(application: Celery) -> None:
    with pytest.raises(QueueNotFound):
        application.amqp.router.route({"queue": "reembed.embedd"}, "reembed.embed_chunk")


def test_a_message_is_held_by_one_worker_until_its_task_is_over(application: Celery) -> None:
    assert application.conf.task_acks_late is True
    assert application.conf.worker_prefetch_multiplier == 1
    # A child that was killed gives its message back
    assert application.conf.task_reject_on_worker_lost is True


def test_no_message_is_delivered_again_while_its_task_works() -> None:
    longest = backfill.WORK_SECONDS + backfill.PATIENCE_SECONDS + backfill.DRAIN_SECONDS
    for options in ("broker_transport_options", "result_backend_transport_options"):
        assert CONFIGURATION[options]["visibility_timeout"] > 2 * longest


@pytest.mark.parametrize("every_seconds", [1, 7, 3_600])
def test_a_tick_of_the_schedule_expires_before_the_next(every_seconds: int) -> None:
    (entry,) = schedule.entries(every_seconds, "reembed.control").values()
    assert entry["task"] == "reembed.advance_all"
    assert entry["schedule"] == every_seconds
    # However long the control worker was away, one tick waits for it
    assert 0 < entry["options"]["expires"] <= entry["schedule"]
    assert entry["options"]["queue"] == "reembed.control"


def test_the_schedule_is_the_environments() -> None:
    assert CONFIGURATION["beat_schedule"] == schedule.entries(EVERY_SECONDS, celery_app.CONTROL_QUEUE)


def test_results_are_not_kept() -> None:
    assert CONFIGURATION["task_ignore_result"] is True
    assert CONFIGURATION["task_store_errors_even_if_ignored"] is False


@pytest.mark.parametrize("url", ["redis://localhost/0", "rediss://localhost/0?ssl_cert_reqs=required"])
def test_the_result_backend_is_ours_and_deaf(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Celery("test", loader="config.result_backend:Loader", backend=url, set_as_current=False)
    backend: Any = made.backend
    assert type(backend) is result_backend.RedisBackend
    consumer = backend.result_consumer

    def talk(*_: object, **__: object) -> None:
        raise AssertionError("Redis was asked for a result")

    monkeypatch.setattr(result_backend.RedisBackend, "client", property(talk))
    consumer.start("a-task")
    consumer.consume_from("a-task")
    consumer.cancel_for("a-task")


def test_the_application_that_processes_load_has_that_backend() -> None:
    assert celery_app.app.loader_cls == "config.result_backend:Loader"
    assert set(result_backend.Loader.override_backends) == {"redis", "rediss"}


def task_names(module: str) -> set[str]:
    """The names that a module's tasks are given."""
    tree = ast.parse(Path(CHECKOUT, *module.split(".")).with_suffix(".py").read_text())
    return {
        str(ast.literal_eval(keyword.value))
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "app.task"
        for keyword in node.keywords
        if keyword.arg == "name"
    }


def test_the_tasks_that_are_routed_and_scheduled_are_those_that_workers_load() -> None:
    loaded = set.union(*(task_names(module) for module in CONFIGURATION["include"]))
    assert loaded == {"reembed.embed_chunk", "reembed.advance", "reembed.advance_all"}
    assert set(CONFIGURATION["task_routes"]) <= loaded
    assert {entry["task"] for entry in CONFIGURATION["beat_schedule"].values()} <= loaded


def test_a_wrong_environment_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        celery_app._settings_or_exit()
    assert stopped.value.code == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == (
        "",
        "reembed: DATABASE_URL is not set. Set it in the environment and try again.\n",
    )
