-- The ledger: the truth about progress, in the user's own database.
-- Applied once, in one transaction, by the first `reembed start`; it outlives every migration.

CREATE SCHEMA reembed;

-- What made a vector. A smallint beside each new vector names one of these rows
CREATE TABLE reembed.models (
    id              smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider        text NOT NULL,
    name            text NOT NULL,
    dimensions      integer NOT NULL CHECK (dimensions > 0),
    document_prefix text NOT NULL,
    query_prefix    text NOT NULL,
    -- Two vectors may be compared only if all of these are equal
    UNIQUE (provider, name, dimensions, document_prefix, query_prefix)
);

-- Every change of state that is allowed. Whatever is not here is refused by the trigger below
CREATE TABLE reembed.transitions (
    thing      text NOT NULL CHECK (thing IN ('migration', 'chunk')),
    from_state text NOT NULL,
    to_state   text NOT NULL,
    why        text NOT NULL,
    PRIMARY KEY (thing, from_state, to_state)
);

INSERT INTO reembed.transitions (thing, from_state, to_state, why) VALUES
    ('migration', 'planned',      'backfilling',  'the new column and every chunk are committed'),
    ('migration', 'backfilling',  'paused',       'an operator, or a fault of the provider or the configuration'),
    ('migration', 'paused',       'backfilling',  'resumed'),
    ('migration', 'backfilling',  'indexing',     'every chunk is done and caught up'),
    ('migration', 'backfilling',  'failed',       'chunks failed more often than they may'),
    ('migration', 'indexing',     'validating',   'the index is valid'),
    ('migration', 'indexing',     'failed',       'the index cannot be built'),
    ('migration', 'failed',       'backfilling',  'retried after a backfill that failed'),
    ('migration', 'failed',       'indexing',     'retried after an index that failed'),
    ('migration', 'validating',   'ready',        'validation passed'),
    ('migration', 'validating',   'needs_review', 'validation did not pass'),
    ('migration', 'ready',        'needs_review', 'judged again'),
    ('migration', 'needs_review', 'ready',        'judged again'),
    ('migration', 'ready',        'switched',     'the flag'),
    ('migration', 'needs_review', 'switched',     'the flag, forced'),
    ('migration', 'switched',     'ready',        'rolled back'),
    ('migration', 'switched',     'needs_review', 'rolled back from a forced switch'),
    ('migration', 'switched',     'cleaned',      'the old column is gone'),
    ('migration', 'switched',     'cleaning',     'the old column is gone; the vectors come home from the companion'),
    ('migration', 'cleaning',     'cleaned',      'all of them came home'),
    -- Until the switch everything can be undone
    ('migration', 'planned',      'aborted',      'given up'),
    ('migration', 'backfilling',  'aborted',      'given up'),
    ('migration', 'paused',       'aborted',      'given up'),
    ('migration', 'indexing',     'aborted',      'given up'),
    ('migration', 'validating',   'aborted',      'given up'),
    ('migration', 'ready',        'aborted',      'given up'),
    ('migration', 'needs_review', 'aborted',      'given up'),
    ('migration', 'failed',       'aborted',      'given up'),
    ('chunk',     'pending',      'running',      'claimed by a worker'),
    ('chunk',     'running',      'done',         'nothing in it is pending'),
    ('chunk',     'running',      'pending',      'given back, or rescued from a dead worker'),
    ('chunk',     'running',      'failed',       'an attempt failed'),
    ('chunk',     'failed',       'pending',      'to be tried again');

CREATE FUNCTION reembed.check_transition() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM reembed.transitions
                    WHERE thing = TG_ARGV[0] AND from_state = OLD.state AND to_state = NEW.state) THEN
        RAISE EXCEPTION 'a % cannot go from % to %', TG_ARGV[0], OLD.state, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

-- One move of one table from an old model to a new one
CREATE TABLE reembed.migrations (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    schema_name    text NOT NULL,
    table_name     text NOT NULL,
    id_column      text NOT NULL,
    content_column text NOT NULL,
    key_type       text NOT NULL CHECK (key_type IN ('bigint', 'uuid', 'text')),
    old_column     text NOT NULL,
    -- pgvector's type of the old column, and its width
    old_type       text NOT NULL CHECK (old_type IN ('vector', 'halfvec')),
    old_dimensions integer NOT NULL,
    new_column     text NOT NULL,
    -- The table that the new vectors stand in, in the schema of the documents; NULL: in the documents table itself
    companion      text,
    -- What `cleanup` calls the index on the vectors that came home: the name that the old column's had
    home_index     text,
    -- Unknown unless the environment or an earlier migration says what made the old vectors
    old_model      smallint REFERENCES reembed.models,
    new_model      smallint NOT NULL REFERENCES reembed.models,
    index_method   text NOT NULL CHECK (index_method IN ('hnsw', 'ivfflat', 'none')),
    metric         text NOT NULL CHECK (metric IN ('cosine', 'l2', 'ip')),
    chunk_size     integer NOT NULL CHECK (chunk_size > 0),
    state          text NOT NULL DEFAULT 'planned' CHECK (state IN (
        'planned', 'backfilling', 'paused', 'indexing', 'validating', 'ready', 'needs_review',
        'switched', 'cleaning', 'cleaned', 'aborted', 'failed')),
    -- Before the switch: the share of all keys whose searches read the new column already (reembed.bucket)
    canary_percent integer NOT NULL DEFAULT 0 CHECK (canary_percent BETWEEN 0 AND 99),
    -- Why it waits or stopped, for a person to read
    reason         text,
    created_at     timestamptz NOT NULL DEFAULT now(),
    changed_at     timestamptz NOT NULL DEFAULT now(),
    -- When the schedule last put all that was pending into chunks
    looked_at      timestamptz,
    -- US dollars, and the tokens of the new model that they buy, by the price when they were set; NULL: no limit
    budget_usd     double precision CHECK (budget_usd > 0),
    budget_tokens  bigint,
    -- Of these tokens: billed, or perhaps billed, and set aside for requests in flight. Kept only beside a budget
    spent_tokens   bigint NOT NULL DEFAULT 0,
    reserved_tokens bigint NOT NULL DEFAULT 0,
    -- A request was not sent for its sake, since it was set
    budget_reached boolean NOT NULL DEFAULT false,
    -- It pauses when so much of the documents is embedded, once; NULL: it does not
    until_percent  double precision CHECK (until_percent > 0 AND until_percent < 100),
    CHECK ((budget_usd IS NULL) = (budget_tokens IS NULL)),
    CHECK (old_column <> new_column),
    -- A canary reads a column that was filled, indexed and judged, and ends with the switch
    CHECK (canary_percent = 0 OR state IN ('ready', 'needs_review'))
);

-- A table has at most one migration under way
CREATE UNIQUE INDEX one_active_migration_per_table
    ON reembed.migrations (schema_name, table_name) WHERE state NOT IN ('cleaned', 'aborted');

-- A forbidden change of state fails, whoever tries it
CREATE TRIGGER check_transition BEFORE UPDATE OF state ON reembed.migrations
    FOR EACH ROW WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION reembed.check_transition('migration');

CREATE FUNCTION reembed.tell() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_notify('reembed_flag', format('%I.%I', NEW.schema_name, NEW.table_name));
    RETURN NULL;
END $$;

-- Services that listen hear of the flag when the change commits, whoever makes it
CREATE TRIGGER tell AFTER INSERT OR UPDATE OF state, canary_percent ON reembed.migrations
    FOR EACH ROW EXECUTE FUNCTION reembed.tell();

-- An id range, one Celery task
CREATE TABLE reembed.chunks (
    migration_id  bigint NOT NULL REFERENCES reembed.migrations ON DELETE CASCADE,
    number        integer NOT NULL CHECK (number > 0),
    -- The column it fills: after the switch the old one is kept fresh too, as long as its model answers
    side          text NOT NULL CHECK (side IN ('new', 'old')),
    -- Both inclusive, as text: keys are integers, UUIDs or text
    first_id      text NOT NULL,
    last_id       text NOT NULL,
    -- Pending documents in the range when it was planned
    documents     integer NOT NULL CHECK (documents > 0),
    -- Sum of BACKFILL_ORDER_COLUMN over them: the highest is embedded first
    priority      double precision NOT NULL DEFAULT 0,
    -- Planned after the backfill, for rows that were written during the migration
    catch_up      boolean NOT NULL DEFAULT false,
    planned_at    timestamptz NOT NULL DEFAULT now(),
    state         text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'running', 'done', 'failed')),
    -- Counted at the claim. Every later write names it, so a worker that lost its lease writes nothing
    attempt       integer NOT NULL DEFAULT 0,
    -- Claims since the last committed batch: a chunk that kills its worker each time has an end
    strikes       integer NOT NULL DEFAULT 0,
    lease_owner   text,
    lease_until   timestamptz,
    embedded      integer NOT NULL DEFAULT 0,
    tokens        bigint NOT NULL DEFAULT 0,
    -- NULL: no message for it is on its way
    dispatched_at timestamptz,
    -- Not to be tried again before; NULL and failed: not to be tried again at all
    retry_at      timestamptz,
    waiting_for   text,
    error         text,
    failed_at     timestamptz,
    started_at    timestamptz,
    progress_at   timestamptz,
    PRIMARY KEY (migration_id, number),
    -- A running chunk has a lease, and no other has
    CHECK ((state = 'running') = (lease_until IS NOT NULL))
-- Rows are updated in place at every batch; room on the page keeps those updates HOT
) WITH (fillfactor = 50);

-- The same for chunks
CREATE TRIGGER check_transition BEFORE UPDATE OF state ON reembed.chunks
    FOR EACH ROW WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION reembed.check_transition('chunk');

-- A job at the provider's Batch API: texts of one chunk, answered within a day. The ledger knows of it before the provider
-- does, so that none is paid for and forgotten
CREATE TABLE reembed.jobs (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    migration_id  bigint NOT NULL,
    number        integer NOT NULL,
    -- Goes with the job to the provider. By it a job is found whose worker died before it could write down the name
    key           uuid NOT NULL,
    -- What the provider calls it; NULL: perhaps the provider has not heard of it
    name          text,
    texts         integer NOT NULL CHECK (texts > 0),
    -- Of a budget: tokens set aside for it, in tokens of the full price
    reserved      bigint NOT NULL,
    -- Billed, and how many tokens of the full price that is; of one that has not ended nobody knows
    tokens        bigint,
    charged       bigint,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at      timestamptz,
    FOREIGN KEY (migration_id, number) REFERENCES reembed.chunks ON DELETE CASCADE,
    CHECK ((ended_at IS NULL) = (tokens IS NULL) AND (tokens IS NULL) = (charged IS NULL))
);

-- A chunk is asked about by one job at a time
CREATE UNIQUE INDEX one_open_job_per_chunk ON reembed.jobs (migration_id, number) WHERE ended_at IS NULL;

-- A document that the provider refuses, until its text or the model changes
CREATE TABLE reembed.failures (
    migration_id bigint NOT NULL REFERENCES reembed.migrations ON DELETE CASCADE,
    side         text NOT NULL CHECK (side IN ('new', 'old')),
    document_id  text NOT NULL,
    content_hash uuid NOT NULL,
    reason       text NOT NULL,
    failed_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (migration_id, side, document_id)
);

-- A document whose text was longer than the model takes, and what its vector was made from instead: the beginning of the
-- text, or the mean of its parts. It counts as long as the vector is of that text
CREATE TABLE reembed.overlong (
    migration_id bigint NOT NULL REFERENCES reembed.migrations ON DELETE CASCADE,
    side         text NOT NULL CHECK (side IN ('new', 'old')),
    document_id  text NOT NULL,
    content_hash uuid NOT NULL,
    treatment    text NOT NULL CHECK (treatment IN ('truncated', 'averaged')),
    -- Of the whole text, as the worker counted or estimated them
    tokens       bigint NOT NULL,
    PRIMARY KEY (migration_id, side, document_id)
);

-- What became of the requests to the provider. Workers add what they counted every few seconds, so that a request itself
-- writes nothing; what a killed process had not yet added is missing
CREATE TABLE reembed.requests (
    migration_id bigint NOT NULL REFERENCES reembed.migrations ON DELETE CASCADE,
    -- `held`: it waited for the quota before it was sent, and is counted as something else, too
    outcome      text NOT NULL CHECK (outcome IN ('answered', 'rate_limited', 'refused', 'broken', 'held')),
    requests     bigint NOT NULL,
    -- All of them together
    seconds      double precision NOT NULL,
    PRIMARY KEY (migration_id, outcome)
);

-- Every judgement; the gate reads the newest
CREATE TABLE reembed.validations (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    migration_id bigint NOT NULL REFERENCES reembed.migrations ON DELETE CASCADE,
    passed       boolean NOT NULL,
    -- Numbers and document ids; never a text
    report       jsonb NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now()
);

-- Who moved the flag, and what stood against it. Nothing here is ever changed
CREATE TABLE reembed.decisions (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    migration_id bigint NOT NULL REFERENCES reembed.migrations ON DELETE CASCADE,
    verb         text NOT NULL CHECK (verb IN ('switch', 'rollback', 'cleanup', 'abort')),
    -- Of the keys, where it is `switch`
    percent      integer CHECK (percent BETWEEN 1 AND 100),
    -- What the gate said, where it was overridden
    forced       text,
    role         text NOT NULL DEFAULT session_user,
    -- user@host, as the operator's machine has it
    operator     text NOT NULL,
    decided_at   timestamptz NOT NULL DEFAULT now()
);

-- Live searches while both columns can be searched, by the side that answered and by a class of durations. Services add
-- what they counted every few seconds, so that a search itself writes nothing; what a dying process had not yet added is lost
CREATE TABLE reembed.searches (
    migration_id bigint NOT NULL REFERENCES reembed.migrations ON DELETE CASCADE,
    side         text NOT NULL CHECK (side IN ('new', 'old')),
    -- The class: no search in it took the database longer, and none in it half as long
    milliseconds double precision NOT NULL,
    searches     bigint NOT NULL,
    -- All of them together
    seconds      double precision NOT NULL,
    PRIMARY KEY (migration_id, side, milliseconds)
);

-- Live searches that ran on both sides: sums alone, never a text and never the id of a document
CREATE TABLE reembed.shadows (
    migration_id bigint NOT NULL REFERENCES reembed.migrations ON DELETE CASCADE,
    -- Results compared
    k            integer NOT NULL CHECK (k > 0),
    searches     bigint NOT NULL,
    overlap      double precision NOT NULL,
    overlap_squares double precision NOT NULL,
    PRIMARY KEY (migration_id, k)
);

-- The era of a table: how often a column's name ceased to mean what it meant, by `cleanup` or by `abort`. A search proves in
-- its own snapshot that it is still the era in which it read the flag
CREATE VIEW reembed.eras AS
SELECT m.schema_name, m.table_name,
       count(*) FILTER (WHERE m.state IN ('cleaning', 'cleaned', 'aborted')) AS era
  FROM reembed.migrations m GROUP BY m.schema_name, m.table_name;

-- The same as a function, which costs a search less than a view to plan, and may be called by whoever may use the schema
CREATE FUNCTION reembed.era(schema_name text, table_name text) RETURNS bigint
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN coalesce((SELECT e.era FROM reembed.eras e WHERE e.schema_name = $1 AND e.table_name = $2), 0);
END $$;

-- Chunks that workers could be at now, for whoever scales them. May be called by whoever may use the schema
CREATE FUNCTION reembed.workload() RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(*) FROM reembed.chunks c JOIN reembed.migrations m ON m.id = c.migration_id
     WHERE c.state IN ('pending', 'running') AND m.state NOT IN ('planned', 'paused', 'failed', 'cleaned', 'aborted')
$$;

-- The flag: which column to search, of which table (`searched_table`), and the model that a query for it must be
-- embedded with. One row for each table that ever had a migration; a canary's part of the keys reads the new column
CREATE VIEW reembed.flags AS
SELECT DISTINCT ON (m.schema_name, m.table_name)
       m.schema_name, m.table_name, m.id AS migration_id, m.state, m.canary_percent, m.metric,
       CASE WHEN m.state IN ('switched', 'cleaning') THEN m.new_column ELSE m.old_column END AS column_name,
       CASE WHEN m.state IN ('switched', 'cleaning') THEN coalesce(m.companion, m.table_name) ELSE m.table_name END
           AS searched_table,
       CASE WHEN m.state IN ('switched', 'cleaning', 'cleaned') THEN n.name ELSE o.name END AS model_name,
       CASE WHEN m.state IN ('switched', 'cleaning', 'cleaned') THEN n.dimensions ELSE m.old_dimensions END AS dimensions,
       m.old_column, m.old_type, m.old_dimensions, m.old_model, m.new_column, m.companion, m.new_model,
       reembed.era(m.schema_name, m.table_name) AS era
  FROM reembed.migrations m
  LEFT JOIN reembed.models o ON o.id = m.old_model
  JOIN reembed.models n ON n.id = m.new_model
 WHERE m.state <> 'aborted'
 ORDER BY m.schema_name, m.table_name, m.id DESC;

-- Where a key stands among all keys of a migration, from 0 to 99: the first 32 bits of a SHA-256, modulo 100. The same in
-- reembed/database/canary.py, and easily the same in any language
CREATE FUNCTION reembed.bucket(migration_id bigint, key text) RETURNS integer
    LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT (('x' || left(encode(sha256(convert_to(migration_id || ':' || key, 'UTF8')), 'hex'), 8))::bit(32)::bigint
            % 100)::integer
$$;

-- The flag for services in other languages, one row: what to search for this key, and what to embed its query with. No row:
-- the table never had a migration
CREATE FUNCTION reembed.flag(documents regclass, key text DEFAULT NULL)
RETURNS TABLE (side text, schema_name text, searched_table text, column_name text, column_type text, metric text,
               model_name text, dimensions integer, query_prefix text, era bigint, migration_id bigint)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN s.is_new THEN 'new' ELSE 'old' END, f.schema_name,
           CASE WHEN s.is_new AND f.state <> 'cleaned' THEN coalesce(f.companion, f.table_name) ELSE f.table_name END,
           CASE WHEN s.is_new AND f.state <> 'cleaned' THEN f.new_column ELSE f.old_column END,
           CASE WHEN s.is_new THEN 'vector' ELSE f.old_type END, f.metric,
           m.name, CASE WHEN s.is_new THEN m.dimensions ELSE f.old_dimensions END, m.query_prefix, f.era, f.migration_id
      FROM pg_class c
      JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN reembed.flags f ON f.schema_name = n.nspname AND f.table_name = c.relname
     CROSS JOIN LATERAL (SELECT f.state IN ('switched', 'cleaning', 'cleaned')
                                OR coalesce(reembed.bucket(f.migration_id, key) < f.canary_percent, false)) s(is_new)
      LEFT JOIN reembed.models m ON m.id = CASE WHEN s.is_new THEN f.new_model ELSE f.old_model END
     WHERE c.oid = documents
$$;
