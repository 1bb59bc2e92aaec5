"""A budget is never passed, whoever spends it, and a share of the documents is a place to stop and look."""

import functools
import re
import threading
from collections.abc import Callable, Iterator
from concurrent import futures

import pytest
from click.testing import CliRunner
from psycopg import sql

from config.settings import Settings
from orchestrator import advance, prices, progress, resume
from orchestrator.command import main
from orchestrator.embedded.stack import Stack
from reembed.database import bills, chunks, documents, ledger, limits
from reembed.database.connection import Connection, connect
from reembed.database.ledger import Migration
from reembed.database.limits import Budget
from tests import steps, waiting

MODEL = "lexical-ngrams"


@pytest.fixture
def spent(stack: Stack) -> Callable[[], int]:
    """Tokens that the provider billed since the test began, by its own count."""

    def billed() -> int:
        return stack.provider.usage()[MODEL]["tokens"]

    before = billed()
    return lambda: billed() - before


@pytest.fixture
def provider(stack: Stack) -> Iterator[Stack]:
    """Sound again after the test, whatever the test did to it."""
    yield stack
    stack.provider.recover()
    stack.provider.set_latency(0)


def room(database: Connection, migration: Migration) -> limits.Room:
    return limits.room(database, migration.id)


def ceiling(database: Connection, count: int) -> int:
    """The most that a request for so many of the documents can cost: bytes, and two tokens more for each."""
    lengths = [
        length for (length,) in database.execute("SELECT octet_length(content) FROM documents ORDER BY id")
    ]
    return int(sum(lengths[:count])) + 2 * count


pytestmark = pytest.mark.usefixtures("nothing_published")


def test_a_budget_without_a_price_is_refused_and_leaves_nothing_behind(
    stack: Stack, database: Connection, documents_table: sql.Identifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**stack.environment(database.info.dbname), "EMBED_MODEL": MODEL}.items():
        monkeypatch.setenv(name, value)
    answer = CliRunner().invoke(main.reembed, ["start", "--budget", "5"])
    assert isinstance(answer.exception, prices.NoPrice)
    assert not ledger.exists(database)


def test_of_all_who_reserve_at_once_none_is_given_what_another_has(
    database: Connection, settings: Settings, migration: Migration
) -> None:
    steps.limited(database, migration, tokens=1_000)

    def reserve(_: int) -> int:
        with connect(settings.database, "test") as own:
            return sum(limits.reserve(own, migration.id, 7) is None for _ in range(40))

    with futures.ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(reserve, range(8))) == 1_000 // 7
    left = room(database, migration)
    assert (left.spent_tokens, left.reserved_tokens) == (0, 1_000 // 7 * 7)


def test_workers_stop_before_the_budget_is_passed_and_a_higher_one_lets_them_finish(
    database: Connection, settings: Settings, migration: Migration, spent: Callable[[], int]
) -> None:
    single = settings.model_copy(update={"embed_batch_size": 1})
    # Room for a few documents, one a request
    budget = 2 * ceiling(database, 1)
    steps.limited(database, migration, tokens=budget)

    # When three workers embed a chunk each
    with futures.ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda number: steps.embed(single, migration, number, concurrency=3), (1, 2, 3)))

    # Then some documents have their vector, and no token more is paid for than was to be
    status = progress.status(database, ledger.get(database, migration.id))
    assert 0 < spent() <= budget
    assert 0 < documents.census(database, migration).embedded < 12
    assert (status.state, status.chunks["running"]) == ("paused", 0)
    assert bills.of(database, migration.id).new == spent() == room(database, migration).spent_tokens
    said = (
        rf"The budget of {budget}\.00 USD has no room for another request\. (\d+)\.00 USD are spent, or may have been, "
        r"and it may cost \d+\.00 USD; `reembed resume --budget USD` raises it\."
    )
    told = re.fullmatch(said, str(status.waiting_for))
    assert told, status.waiting_for
    assert 0 < int(told[1]) <= budget

    # And who only resumes is told why that is no use
    paused = ledger.get(database, migration.id)
    with pytest.raises(limits.NoRoom) as refused:
        resume.resume(database, paused)
    assert "`reembed resume --budget USD` raises it" in str(refused.value)
    with pytest.raises(limits.SpentAlready):
        resume.resume(database, paused, budget=Budget(spent(), spent()))
    assert room(database, migration).budget_tokens == budget

    # And a higher budget lets them finish
    resume.resume(database, paused, budget=Budget(5_000.0, 5_000))
    steps.embed(single, migration, 1, 2, 3)
    assert documents.census(database, migration).embedded == 12
    assert chunks.count(database, migration.id).done == 3
    left = room(database, migration)
    assert (left.spent_tokens, left.reserved_tokens, left.budget_reached) == (spent(), 0, False)


def test_a_request_that_may_find_room_waits_for_those_in_flight(
    database: Connection, settings: Settings, migration: Migration, provider: Stack, spent: Callable[[], int]
) -> None:
    provider.provider.set_latency(300)
    # At their most, not even two of the three requests fit; by their bills all of them do
    steps.limited(database, migration, tokens=ceiling(database, 12) * 2 // 3)
    steps.embed(settings, migration, 1, concurrency=3)
    steps.embed(settings, migration, 2, 3, concurrency=3)
    assert documents.census(database, migration).embedded == 12
    assert ledger.get(database, migration.id).state == "backfilling"
    assert room(database, migration).spent_tokens == spent()


def test_what_may_have_been_billed_counts_and_what_was_refused_does_not(
    database: Connection, settings: Settings, migration: Migration, provider: Stack
) -> None:
    steps.limited(database, migration, tokens=50_000)
    provider.provider.fail(503)
    steps.embed(settings, migration, 1)
    billed = bills.of(database, migration.id).new
    assert room(database, migration).spent_tokens == billed > 0
    # A connection that drops may have carried vectors
    provider.provider.spoil("drop")
    steps.embed(settings, migration, 2)
    left = room(database, migration)
    assert left.spent_tokens > bills.of(database, migration.id).new > billed
    assert left.reserved_tokens == 0


def test_a_session_that_ends_during_a_request_spoils_no_account(
    database: Connection, settings: Settings, migration: Migration, provider: Stack, spent: Callable[[], int]
) -> None:
    steps.limited(database, migration, tokens=5_000)
    provider.provider.set_latency(1_000)
    work = threading.Thread(target=functools.partial(steps.embed, settings, migration, 1))
    work.start()
    waiting.until(lambda: room(database, migration).reserved_tokens)
    database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'reembed worker' AND datname = current_database()"
    )
    work.join(20)
    left = room(database, migration)
    assert (left.spent_tokens, left.reserved_tokens) == (spent(), 0)


def test_catching_up_stops_for_the_budget_and_leaves_the_flag_where_it_is(
    database: Connection, settings: Settings, migration: Migration, spent: Callable[[], int]
) -> None:
    steps.limited(database, migration, tokens=5_000)
    steps.embed(settings, migration, 1, 2, 3)
    steps.walk(database, migration, "indexing", "validating", "ready")
    before = spent()
    # When the rest of the budget is too little for what is written meanwhile
    resume.resume(database, ledger.get(database, migration.id), budget=Budget(before + 9.0, before + 9))
    database.execute("UPDATE documents SET content = 'changed meanwhile' WHERE id = 7")
    assert chunks.plan_catch_up(database, ledger.get(database, migration.id)) == 1
    steps.embed(settings, migration, 4)
    # Then it waits, with the reason, and nothing is paid for
    current = ledger.get(database, migration.id)
    status = progress.status(database, current)
    assert (status.state, status.pending, spent()) == ("ready", 1, before)
    assert "`reembed resume --budget USD` raises it" in str(status.waiting_for)
    with pytest.raises(limits.NoRoom):
        resume.resume(database, current)
    # And a higher budget is enough
    resume.resume(database, current, budget=Budget(9_000.0, 9_000))
    steps.embed(settings, migration, 4)
    assert documents.count_pending(database, current) == 0


def test_a_share_of_the_documents_is_a_place_to_look_and_resume_goes_on(
    database: Connection, settings: Settings, migration: Migration
) -> None:
    single = settings.model_copy(update={"embed_batch_size": 1})
    steps.limited(database, migration, until=25)
    with futures.ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda number: steps.embed(single, migration, number), (1, 2)))
    # Two workers, each with one request in flight, one ready and one to be committed
    paused = ledger.get(database, migration.id)
    embedded = documents.census(database, paused).embedded
    assert paused.state == "paused"
    assert 3 <= embedded < 3 + 2 * 3
    assert "of 12 documents are embedded, with --until 25; `reembed resume` goes on" in str(paused.reason)
    assert chunks.count(database, paused.id).running == 0
    # Less than there is already is no place to stop at
    with pytest.raises(limits.EmbeddedAlready):
        resume.resume(database, paused, until=20)
    # It was once: now it goes on to the end
    resume.resume(database, paused)
    steps.embed(single, migration, 1, 2, 3)
    assert documents.census(database, paused).embedded == 12


def test_a_share_that_was_passed_by_the_last_batches_is_looked_at_before_the_index(
    database: Connection, settings: Settings, migration: Migration
) -> None:
    # Given workers that had sent all before any of it was embedded
    steps.embed(settings, migration, 1, 2, 3)
    database.execute("UPDATE reembed.migrations SET until_percent = 99")
    advance.advance(database, settings, migration.id)
    assert ledger.get(database, migration.id).state == "paused"


def test_a_first_limit_is_not_set_over_the_heads_of_workers_that_do_not_count_for_it(
    database: Connection, migration: Migration
) -> None:
    with pytest.raises(limits.AtWork) as caught:
        limits.set_limits(database, migration.id, budget=Budget(1.0, 100))
    assert "`reembed resume` after `reembed pause`, once the workers have left" in str(caught.value)
    # Nor while one of them has not noticed the pause
    claim = chunks.claim(database, migration.id, 1, owner="a worker", lease_seconds=60, max_strikes=5)
    assert claim is not None
    ledger.change_state(database, migration, "paused")
    paused = ledger.get(database, migration.id)
    for limit in ({"budget": Budget(1.0, 100)}, {"until": 50.0}):
        with pytest.raises(limits.AtWork):
            resume.resume(database, paused, **limit)
    chunks.give_back(database, claim)
    resume.resume(database, paused, budget=Budget(1.0, 100), until=50.0)
    # Whoever counts hears of a change at his next request
    limits.set_limits(database, migration.id, budget=Budget(2.0, 200), until=60.0)
    current = ledger.get(database, migration.id)
    assert (current.budget_usd, current.until_percent) == (2.0, 60.0)


def test_who_waits_for_room_leaves_when_the_migration_is_paused(
    database: Connection, settings: Settings, migration: Migration
) -> None:
    quick = settings.model_copy(update={"chunk_lease_seconds": 0.3})
    # Given a worker that died, and gave nothing back
    steps.limited(database, migration, tokens=5_000)
    assert limits.reserve(database, migration.id, 4_990) is None
    work = threading.Thread(target=functools.partial(steps.embed, quick, migration, 1))
    work.start()
    waiting.until(
        lambda: "the budget" in str(progress.status(database, ledger.get(database, migration.id)).waiting_for)
    )
    ledger.change_state(database, ledger.get(database, migration.id), "paused", "an operator paused it")
    work.join(20)
    assert chunks.count(database, migration.id).running == 0
    assert not room(database, migration).budget_reached


def test_nobody_waits_for_ever_for_what_a_dead_worker_reserved(
    database: Connection, settings: Settings, migration: Migration
) -> None:
    impatient = settings.model_copy(update={"provider_timeout_seconds": 0.6})
    steps.limited(database, migration, tokens=5_000)
    assert limits.reserve(database, migration.id, 4_990) is None
    steps.embed(impatient, migration, 1)
    paused = ledger.get(database, migration.id)
    assert paused.state == "paused"
    assert "4,990.00 USD are spent, or may have been" in str(paused.reason)
