"""How many jobs there may be, what they may cost, and what becomes of those of a migration that is given up."""

import uuid

import pytest

from config.settings import Settings
from orchestrator import jobs as given_up
from orchestrator.embedded.provider import EmbeddingServer
from reembed import errors
from reembed.database import bills, chunks, jobs, ledger, limits
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from tests import steps
from tests.integration.jobs import worker
from tests.integration.jobs.worker import FIRST, Count, Made

pytestmark = pytest.mark.usefixtures("nothing_published")


def test_no_more_jobs_are_at_the_provider_than_are_set(
    database: Connection,
    batch: Settings,
    migration: Migration,
    provider: EmbeddingServer,
    made: Made,
    directly: Count,
) -> None:
    one = batch.model_copy(update={"provider_jobs": 1})
    provider.hold_jobs(600)
    assert worker.embed_once(one, migration, 1).startswith("waits: job")
    assert "waits: 1 jobs are at the provider, and PROVIDER_JOBS=1" in worker.embed_once(one, migration, 2)
    assert len(made()) == 1
    # Nor was the provider asked anything for the sake of a second
    assert directly() == 1
    provider.hold_jobs(0)
    assert worker.embed(one, migration, 1).startswith("done")
    assert worker.embed(one, migration, 2).startswith("done")
    assert len(made()) == 2


def test_a_job_costs_its_share_of_the_price_in_the_budget_and_on_the_bill(
    database: Connection, batch: Settings, migration: Migration, provider: EmbeddingServer
) -> None:
    before = worker.tokens(provider)
    migration = steps.limited(database, migration, tokens=100_000)
    assert worker.embed_once(batch, migration).startswith("waits")
    set_aside = limits.room(database, migration.id)
    assert set_aside.reserved_tokens >= sum(map(len, FIRST)) / 2
    assert worker.embed(batch, migration).startswith("done")
    # The harmless text is one token, and nobody's: it is not charged
    billed = worker.tokens(provider) - before - 1
    room = limits.room(database, migration.id)
    assert (room.reserved_tokens, room.spent_tokens) == (0, -(-billed // 2))
    bill = bills.of(database, migration.id)
    assert (bill.new, bill.saved) == (billed, billed // 2)


def test_a_job_is_no_larger_than_the_budget_and_the_migration_pauses_where_nothing_fits(
    database: Connection,
    batch: Settings,
    migration: Migration,
    provider: EmbeddingServer,
    made: Made,
) -> None:
    before = worker.tokens(provider)
    # For two texts by their bytes, at half the price
    budget = sum(len(text) + 2 for text in FIRST[:2]) // 2 + 1
    migration = steps.limited(database, migration, tokens=budget)
    became = worker.embed(batch, migration)
    assert became.startswith("put off: The budget of")
    assert ledger.get(database, migration.id).state == "paused"
    assert made()[0]["request_counts"]["total"] == 2
    assert 0 < len(worker.embedded(database)) < 5
    assert (worker.tokens(provider) - before - len(made())) / 2 <= budget


def test_no_job_is_made_beyond_what_is_to_be_embedded_before_a_look(
    database: Connection, batch: Settings, migration: Migration, provider: EmbeddingServer
) -> None:
    migration = steps.limited(database, migration, until=40)
    provider.hold_jobs(600)
    assert worker.embed_once(batch, migration, 1).startswith("waits: job")
    assert worker.embed_once(batch, migration, 2).startswith("waits: enough for --until is at the provider")
    provider.hold_jobs(0)
    worker.embed(batch, migration, 1)
    assert limits.far_enough(database, migration.id)
    assert ledger.get(database, migration.id).state == "paused"


@pytest.mark.parametrize("known", [False, True], ids=["never made", "forgotten"])
def test_a_job_that_is_not_at_the_provider_is_charged_only_if_it_ever_was(
    database: Connection, batch: Settings, migration: Migration, provider: EmbeddingServer, known: bool
) -> None:
    before = worker.tokens(provider)
    migration = steps.limited(database, migration, tokens=100_000)
    claim = chunks.claim(database, migration.id, 1, owner="me", lease_seconds=30, max_strikes=5)
    assert claim is not None
    lost = jobs.begin(database, claim, uuid.uuid4(), texts=5, reserve=1_000, most=1)
    assert lost is not None
    if known:
        jobs.name(database, claim, lost, "batch_that_is_gone")
    chunks.give_back(database, claim)
    assert worker.embed(batch, migration).startswith("done")
    billed = worker.tokens(provider) - before - 1
    room = limits.room(database, migration.id)
    assert (room.reserved_tokens, room.spent_tokens) == (0, -(-billed // 2) + 1_000 * known)
    assert worker.wrong(database) == []


def test_a_migration_that_is_given_up_cancels_its_jobs(
    database: Connection,
    batch: Settings,
    migration: Migration,
    provider: EmbeddingServer,
    made: Made,
) -> None:
    provider.hold_jobs(600)
    worker.embed_once(batch, migration, 1)
    worker.embed_once(batch, migration, 2)
    cancelled, left = given_up.cancel(database, batch, migration)
    assert (len(cancelled), left) == (2, [])
    assert {job["status"] for job in made()} <= {"cancelling", "cancelled"}


def test_a_provider_that_is_away_is_named_with_the_jobs_that_it_still_has(
    database: Connection,
    batch: Settings,
    migration: Migration,
    provider: EmbeddingServer,
    made: Made,
) -> None:
    provider.hold_jobs(600)
    worker.embed_once(batch, migration)
    provider.fail(503, seconds=600)
    cancelled, (left,) = given_up.cancel(database, batch, migration)
    assert cancelled == []
    assert left.name == made()[0]["id"]


def test_two_jobs_of_one_chunk_cannot_be_open(database: Connection, migration: Migration) -> None:
    claim = chunks.claim(database, migration.id, 1, owner="me", lease_seconds=30, max_strikes=5)
    assert claim is not None
    values = "(migration_id, number, key, texts, reserved) VALUES (%s, 1, gen_random_uuid(), 1, 0)"
    database.execute("INSERT INTO reembed.jobs " + values, [migration.id])
    with pytest.raises(Exception, match="one_open_job_per_chunk"):
        database.execute("INSERT INTO reembed.jobs " + values, [migration.id])


def test_only_the_attempt_that_holds_the_chunk_touches_its_job(
    database: Connection, migration: Migration
) -> None:
    claim = chunks.claim(database, migration.id, 1, owner="me", lease_seconds=30, max_strikes=5)
    assert claim is not None
    key = uuid.uuid4()
    job = jobs.begin(database, claim, key, texts=5, reserve=None, most=1)
    assert job is not None
    # Twice does no harm
    assert jobs.begin(database, claim, key, texts=5, reserve=None, most=1) == job
    chunks.give_back(database, claim)
    with pytest.raises(errors.LeaseLost):
        jobs.name(database, claim, job, "batch_1")
    with pytest.raises(errors.LeaseLost):
        jobs.end(database, claim, job, tokens=1, charged=1)
    with pytest.raises(errors.LeaseLost):
        jobs.begin(database, claim, uuid.uuid4(), texts=5, reserve=None, most=2)
    assert jobs.all_open(database, migration.id) == [job]
