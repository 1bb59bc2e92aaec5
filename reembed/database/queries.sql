-- Every query that reembed runs. A block is `-- name --`, a line of purpose, one statement.
-- {names} are identifiers and fragments put in through psycopg.sql; %(values)s are bound.

-- pending --
-- Fragment: this document has no fresh vector of the migration's model, and no recorded refusal of this text
d.{new_model} IS DISTINCT FROM {model} AND d.{content} <> '' AND {not_refused}

-- old_pending --
-- Fragment: this document has no fresh vector in the old column, and no recorded refusal of this text
(d.{old} IS NULL OR d.{old_stale}) AND d.{content} <> '' AND {not_refused}

-- not_refused --
-- Fragment: the provider of this side did not refuse this text
NOT EXISTS (SELECT FROM reembed.failures f
             WHERE f.migration_id = {migration} AND f.side = {side} AND f.document_id = d.{id}::text
               AND f.content_hash = md5(d.{content})::uuid)

-- new_vector --
-- Fragment: what a batch sets in a document
{new} = v.vector, {new_model} = {model}, {new_hash} = v.content_hash

-- old_vector --
-- Fragment: the same for the old column, after the switch. Its width and type are cast by assignment
{old} = v.vector, {old_stale} = NULL

-- catch_up --
-- Fragment: pending, and in no chunk that was given up within the hour: those wait for a person, or for better times
{pending}
AND NOT EXISTS (SELECT FROM reembed.chunks c
                 WHERE c.migration_id = {migration} AND c.side = {side} AND c.state = 'failed' AND c.retry_at IS NULL
                   AND c.failed_at > now() - interval '1 hour' AND d.{id} BETWEEN c.first_id::{key_type} AND c.last_id::{key_type})

-- fetch_batch --
-- The next documents of a range that still need a vector of the current model
SELECT d.{id} AS id, d.{content} AS content, md5(d.{content})::uuid AS content_hash
  FROM {table} d
 WHERE d.{id} {from_operator} %(from_id)s::{key_type} AND d.{id} <= %(last_id)s::{key_type}
   AND {pending}
 ORDER BY d.{id}
 LIMIT %(limit)s

-- write_batch --
-- The vectors of one batch, the refusals in it and the chunk's progress, in one statement and so in one transaction.
-- Nothing is written unless this attempt still holds the chunk (`held`); a document whose text is no longer the one
-- that was embedded is passed over and stays pending
WITH held AS MATERIALIZED (
    SELECT FROM reembed.chunks c
     WHERE c.migration_id = {migration} AND c.number = %(number)s
       AND c.attempt = %(attempt)s AND c.state = 'running'
       FOR UPDATE
), written AS (
    UPDATE {table} d
       SET {vector}
      FROM unnest(%(ids)s::{key_type}[], %(vectors)s::vector[], %(hashes)s::uuid[]) AS v(id, vector, content_hash)
     WHERE d.{id} = v.id AND md5(d.{content})::uuid = v.content_hash AND EXISTS (SELECT FROM held)
    RETURNING 1
), refused AS (
    INSERT INTO reembed.failures (migration_id, side, document_id, content_hash, reason)
    SELECT {migration}, {side}, r.id, r.content_hash, r.reason
      FROM unnest(%(refused_ids)s::text[], %(refused_hashes)s::uuid[], %(refused_reasons)s::text[])
           AS r(id, content_hash, reason)
     WHERE EXISTS (SELECT FROM held)
    ON CONFLICT (migration_id, side, document_id) DO UPDATE
       SET content_hash = EXCLUDED.content_hash, reason = EXCLUDED.reason, failed_at = now()
), too_long AS (
    INSERT INTO reembed.overlong (migration_id, side, document_id, content_hash, treatment, tokens)
    SELECT {migration}, {side}, l.id, l.content_hash, l.treatment, l.tokens
      FROM unnest(%(long_ids)s::text[], %(long_hashes)s::uuid[], %(long_treatments)s::text[], %(long_tokens)s::bigint[])
           AS l(id, content_hash, treatment, tokens)
     WHERE EXISTS (SELECT FROM held)
    ON CONFLICT (migration_id, side, document_id) DO UPDATE
       SET content_hash = EXCLUDED.content_hash, treatment = EXCLUDED.treatment, tokens = EXCLUDED.tokens
), progress AS (
    UPDATE reembed.chunks c
       SET embedded = c.embedded + (SELECT count(*) FROM written), tokens = c.tokens + %(tokens)s,
           strikes = 0, waiting_for = NULL, error = NULL, progress_at = clock_timestamp(),
           lease_until = clock_timestamp() + make_interval(secs => %(lease_seconds)s)
     WHERE c.migration_id = {migration} AND c.number = %(number)s AND EXISTS (SELECT FROM held)
)
SELECT EXISTS (SELECT FROM held) AS held, (SELECT count(*) FROM written) AS written

-- fresh_vectors --
-- Vectors of documents whose text is known to be that of others: one request less
SELECT v.content_hash, d.{new} AS vector
  FROM unnest(%(ids)s::{key_type}[], %(hashes)s::uuid[]) AS v(id, content_hash)
  JOIN {table} d ON d.{id} = v.id
 WHERE d.{new_model} = {model} AND d.{new_hash} = v.content_hash AND d.{new} IS NOT NULL

-- count_documents --
-- The whole table by what stands beside each document, in one scan: the proof that nothing is missing or stale
SELECT count(*) AS documents,
       count(*) FILTER (WHERE d.{content} IS NULL OR d.{content} = '') AS without_text,
       count(*) FILTER (WHERE {pending}) AS pending,
       count(*) FILTER (WHERE d.{new_model} = {model} AND d.{content} <> '') AS embedded,
       count(*) FILTER (WHERE d.{new_model} = {model}
                          AND d.{new_hash} IS DISTINCT FROM md5(d.{content})::uuid) AS stale,
       count(*) FILTER (WHERE d.{new_model} = {model}
                          AND (d.{new} IS NULL OR vector_norm(d.{new}) = 0)) AS invalid
  FROM {table} d

-- spread --
-- The fresh vectors as a whole, in one scan
SELECT avg(d.{new}) AS mean, avg(d.{new} * d.{new}) AS mean_square, avg(vector_norm(d.{new})) AS norm_mean,
       stddev_pop(vector_norm(d.{new})) AS norm_deviation, count(*) FILTER (WHERE d.{old}::vector = d.{new}) AS copied
  FROM {table} d
 WHERE d.{new_model} = {model} AND d.{content} <> ''

-- texts_of --
-- A few texts to embed again; they go to the provider that had them before, and nowhere else
SELECT d.{id}::text AS id, d.{content} AS content
  FROM {table} d
 WHERE d.{id} = ANY(%(ids)s::{key_type}[]) AND d.{new_model} = {model} AND d.{new_hash} = md5(d.{content})::uuid

-- mark_pending --
-- What a census finds stale (a trigger that was dropped or disabled for a while) or invalid becomes pending again
UPDATE {table} d SET {new_model} = NULL
 WHERE d.{new_model} = {model}
   AND (d.{new_hash} IS DISTINCT FROM md5(d.{content})::uuid OR d.{new} IS NULL OR vector_norm(d.{new}) = 0)

-- count_pending --
-- Cheap once the index on pending documents exists
SELECT count(*) AS pending FROM {table} d WHERE {pending}

-- count_old_pending --
-- Documents that a search of the old column cannot find, or finds by an older text. By the index that exists for it
SELECT count(*) FILTER (WHERE d.{old} IS NULL) AS hidden, count(d.{old}) AS stale
  FROM {table} d WHERE (d.{old} IS NULL OR d.{old_stale}) AND d.{content} <> ''

-- is_empty --
-- Whether there is any document
SELECT NOT EXISTS (SELECT FROM {table} d) AS empty

-- count_all --
-- Every document, by the index on the key where the visibility map allows it
SELECT count(*) AS documents FROM {table} d

-- sample_texts --
-- A few texts, to count their tokens; they leave this process only as a number
SELECT d.{content} AS content FROM {table} d TABLESAMPLE SYSTEM ({percent})
 WHERE d.{content} <> '' LIMIT %(limit)s

-- plan_chunks --
-- Ranges of every n-th id that exists, so that gaps and skew still give even chunks: one ordered scan of the key,
-- marking the first and last of every n, then one row for each pair of marks
INSERT INTO reembed.chunks (migration_id, side, number, first_id, last_id, documents, catch_up)
SELECT {migration}, {side}, %(after_number)s + (n - 1) / %(chunk_size)s + 1,
       (array_agg(id ORDER BY n))[1]::text, (array_agg(id ORDER BY n DESC))[1]::text,
       max(n) - min(n) + 1, %(catch_up)s
  FROM (SELECT id, n, lead(id) OVER (ORDER BY n) IS NULL AS is_last
          FROM (SELECT d.{id} AS id, row_number() OVER (ORDER BY d.{id}) AS n FROM {table} d WHERE {wanted}) numbered
       ) marked
 WHERE (n - 1) %% %(chunk_size)s = 0 OR n %% %(chunk_size)s = 0 OR is_last
 GROUP BY (n - 1) / %(chunk_size)s

-- last_chunk_number --
-- Chunks are numbered from 1
SELECT coalesce(max(number), 0) AS number FROM reembed.chunks WHERE migration_id = %(migration_id)s

-- delete_chunks --
-- A plan that was interrupted is written anew
DELETE FROM reembed.chunks WHERE migration_id = %(migration_id)s

-- claim_chunk --
-- One worker gets the chunk. A lease that ran out is worth nothing, so a redelivered message can claim the chunk of
-- its dead worker
UPDATE reembed.chunks c
   SET state = 'running', attempt = attempt + 1, strikes = strikes + 1, lease_owner = %(owner)s,
       lease_until = clock_timestamp() + make_interval(secs => %(lease_seconds)s),
       started_at = coalesce(started_at, clock_timestamp()), retry_at = NULL, waiting_for = NULL
 WHERE c.migration_id = %(migration_id)s AND c.number = %(number)s
   AND (c.state = 'pending' AND (c.retry_at IS NULL OR c.retry_at <= clock_timestamp())
        OR c.state = 'running' AND c.lease_until < clock_timestamp() AND c.strikes < %(max_strikes)s)
   AND EXISTS (SELECT FROM reembed.migrations m WHERE m.id = c.migration_id
                  AND m.state NOT IN ('planned', 'paused', 'failed', 'cleaned', 'aborted'))
RETURNING c.migration_id, c.side, c.number, c.attempt, c.first_id, c.last_id, c.documents

-- renew_lease --
-- The heartbeat. No row: the chunk was rescued, or the migration does not want it any more
UPDATE reembed.chunks c
   SET lease_until = clock_timestamp() + make_interval(secs => %(lease_seconds)s), waiting_for = %(waiting_for)s
 WHERE c.migration_id = %(migration_id)s AND c.number = %(number)s
   AND c.attempt = %(attempt)s AND c.state = 'running'
RETURNING (SELECT m.state IN ('paused', 'aborted', 'failed', 'cleaned')
             FROM reembed.migrations m WHERE m.id = c.migration_id) AS unwanted

-- finish_chunk --
-- Nothing in the range was pending when the worker reached its end
UPDATE reembed.chunks
   SET state = 'done', lease_owner = NULL, lease_until = NULL, waiting_for = NULL, error = NULL,
       progress_at = clock_timestamp()
 WHERE migration_id = %(migration_id)s AND number = %(number)s AND attempt = %(attempt)s AND state = 'running'

-- give_back_chunk --
-- The worker leaves in good order (shutdown, pause, a provider that is away): no strike against the chunk
UPDATE reembed.chunks
   SET state = 'pending', lease_owner = NULL, lease_until = NULL, dispatched_at = NULL,
       strikes = greatest(strikes - 1, 0), waiting_for = %(waiting_for)s,
       retry_at = clock_timestamp() + make_interval(secs => %(retry_seconds)s)
 WHERE migration_id = %(migration_id)s AND number = %(number)s AND attempt = %(attempt)s AND state = 'running'

-- fail_chunk --
-- An attempt failed. It is tried again at a distance that doubles, until its strikes are used up
UPDATE reembed.chunks
   SET state = 'failed', lease_owner = NULL, lease_until = NULL, dispatched_at = NULL, waiting_for = NULL,
       error = %(error)s, failed_at = clock_timestamp(),
       retry_at = CASE WHEN strikes < %(max_strikes)s
                       THEN clock_timestamp() + make_interval(secs => %(retry_seconds)s * 2 ^ (strikes - 1)) END
 WHERE migration_id = %(migration_id)s AND number = %(number)s AND attempt = %(attempt)s AND state = 'running'

-- rescue_chunks --
-- Give back the chunks of dead workers, or fail those that used up their strikes by it
UPDATE reembed.chunks
   SET state = CASE WHEN strikes < %(max_strikes)s THEN 'pending' ELSE 'failed' END,
       lease_owner = NULL, lease_until = NULL, dispatched_at = NULL, waiting_for = NULL,
       error = format('its worker (%%s) died or hung', lease_owner), failed_at = clock_timestamp()
 WHERE migration_id = %(migration_id)s AND state = 'running' AND lease_until < clock_timestamp()
RETURNING number, state

-- rerun_failed_chunks --
-- Failed chunks whose time has come; all of them, strikes forgiven, where a person asks
UPDATE reembed.chunks
   SET state = 'pending', retry_at = NULL, strikes = CASE WHEN %(all)s THEN 0 ELSE strikes END
 WHERE migration_id = %(migration_id)s AND state = 'failed' AND (%(all)s OR retry_at <= clock_timestamp())

-- hurry_chunks --
-- Chunks that were put off are due at once: a person mended the cause
UPDATE reembed.chunks SET retry_at = NULL, waiting_for = NULL, dispatched_at = NULL
 WHERE migration_id = %(migration_id)s AND state = 'pending'

-- take_wave --
-- The next chunks to publish. Marked first and committed, published afterwards: a message may be lost or doubled,
-- never a chunk
WITH due AS MATERIALIZED (
    SELECT number FROM reembed.chunks
     WHERE migration_id = %(migration_id)s AND state = 'pending' AND dispatched_at IS NULL
       AND (retry_at IS NULL OR retry_at <= clock_timestamp())
     ORDER BY number LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE reembed.chunks c SET dispatched_at = clock_timestamp(), retry_at = NULL
  FROM due
 WHERE c.migration_id = %(migration_id)s AND c.number = due.number
RETURNING c.number, c.first_id, c.last_id

-- forget_messages --
-- Nothing waits in the queue, yet chunks published a while ago were never claimed: their messages are lost
UPDATE reembed.chunks SET dispatched_at = NULL
 WHERE migration_id = %(migration_id)s AND state = 'pending'
   AND dispatched_at <= clock_timestamp() - make_interval(secs => %(older_than_seconds)s)

-- count_chunks --
-- Progress, from the ledger alone
SELECT count(*) FILTER (WHERE state = 'pending') AS pending,
       count(*) FILTER (WHERE state = 'running') AS running,
       count(*) FILTER (WHERE state = 'done') AS done,
       count(*) FILTER (WHERE state = 'failed') AS failed,
       count(*) FILTER (WHERE state = 'failed' AND retry_at IS NULL) AS given_up,
       count(*) FILTER (WHERE state = 'pending' AND dispatched_at IS NOT NULL) AS published,
       count(*) FILTER (WHERE state = 'pending' AND dispatched_at IS NULL
                          AND (retry_at IS NULL OR retry_at <= clock_timestamp())) AS due,
       coalesce(sum(documents) FILTER (WHERE NOT catch_up), 0) AS documents,
       coalesce(sum(greatest(documents - embedded, 0)) FILTER (WHERE state <> 'done'), 0) AS remaining,
       coalesce(sum(embedded), 0) AS embedded,
       coalesce(sum(tokens), 0)::bigint AS tokens,
       coalesce(extract(epoch FROM max(progress_at) - min(started_at)), 0)::float8 AS seconds,
       extract(epoch FROM clock_timestamp() - greatest(max(progress_at), max(started_at), max(dispatched_at)))::float8
           AS idle_seconds,
       (array_agg(waiting_for ORDER BY number) FILTER (WHERE waiting_for IS NOT NULL AND state <> 'done'))[1]
           AS waiting_for,
       (array_agg(error ORDER BY progress_at DESC NULLS LAST) FILTER (WHERE error IS NOT NULL AND state = 'failed'))[1]
           AS error
  FROM reembed.chunks
 WHERE migration_id = %(migration_id)s

-- unfinished_sides --
-- Whether chunks for the new column, and for the old one, are still to be worked on
SELECT DISTINCT side FROM reembed.chunks
 WHERE migration_id = %(migration_id)s
   AND (state IN ('pending', 'running') OR state = 'failed' AND retry_at IS NOT NULL)

-- mark_looked --
-- From now on all that was pending is in a chunk
UPDATE reembed.migrations SET looked_at = clock_timestamp() WHERE id = %(migration_id)s

-- lag --
-- How long ago the newest text may have been written that is not embedded yet: since the oldest chunk for catching up
-- that is not done was planned, or since somebody looked for pending documents
SELECT extract(epoch FROM clock_timestamp() - least(m.looked_at, (
           SELECT min(c.planned_at) FROM reembed.chunks c
            WHERE c.migration_id = m.id AND c.side = 'new' AND c.state <> 'done')))::float8 AS seconds
  FROM reembed.migrations m WHERE m.id = %(migration_id)s

-- count_catch_ups --
-- How often the migration caught up in its present state
SELECT count(DISTINCT c.planned_at) AS rounds
  FROM reembed.chunks c JOIN reembed.migrations m ON m.id = c.migration_id
 WHERE m.id = %(migration_id)s AND c.catch_up AND c.side = 'new' AND c.planned_at >= m.changed_at

-- count_failures --
-- Documents that the provider refuses. One that was deleted, or has another text by now, is none of them
SELECT count(*) AS failures
  FROM reembed.failures f JOIN {table} d ON d.{id} = f.document_id::{key_type}
 WHERE f.migration_id = {migration} AND f.side = 'new' AND f.content_hash = md5(d.{content})::uuid

-- list_failures --
-- The same, one by one
SELECT f.document_id, f.reason, f.failed_at
  FROM reembed.failures f JOIN {table} d ON d.{id} = f.document_id::{key_type}
 WHERE f.migration_id = {migration} AND f.side = 'new' AND f.content_hash = md5(d.{content})::uuid
 ORDER BY f.failed_at DESC, f.document_id

-- count_overlong --
-- Documents whose vector is not of their whole text. The hash beside the vector says so without a look at the text
SELECT count(*) AS overlong
  FROM reembed.overlong o JOIN {table} d ON d.{id} = o.document_id::{key_type}
 WHERE o.migration_id = {migration} AND o.side = 'new' AND o.content_hash = d.{vector_hash}

-- list_overlong --
-- The same, one by one
SELECT o.document_id, o.treatment, o.tokens
  FROM reembed.overlong o JOIN {table} d ON d.{id} = o.document_id::{key_type}
 WHERE o.migration_id = {migration} AND o.side = 'new' AND o.content_hash = d.{vector_hash}
 ORDER BY o.tokens DESC, o.document_id

-- release_failures --
-- The documents are tried again
DELETE FROM reembed.failures WHERE migration_id = {migration}

-- ledger_exists --
-- Whether any `start` was ever made in this database
SELECT to_regclass('reembed.migrations') IS NOT NULL AS found

-- lock_ledger --
-- Two first starts at once must not both install the ledger, nor two starts plan the same table
SELECT pg_advisory_xact_lock(hashtextextended('reembed', 0))

-- try_lock_migration --
-- One process at a time advances a migration; the session's end frees the lock, however it ends
SELECT pg_try_advisory_lock(hashtextextended('reembed.migration', %(migration_id)s)) AS locked

-- unlock_migration --
-- Given back at the end of every advance
SELECT pg_advisory_unlock(hashtextextended('reembed.migration', %(migration_id)s))

-- find_model --
-- The row of a model, made where there is none
WITH made AS (
    INSERT INTO reembed.models (provider, name, dimensions, document_prefix, query_prefix)
    VALUES (%(provider)s, %(name)s, %(dimensions)s, %(document_prefix)s, %(query_prefix)s)
    ON CONFLICT DO NOTHING RETURNING id
)
SELECT id FROM made
UNION ALL
SELECT id FROM reembed.models
 WHERE provider = %(provider)s AND name = %(name)s AND dimensions = %(dimensions)s
   AND document_prefix = %(document_prefix)s AND query_prefix = %(query_prefix)s

-- get_model --
-- What made a vector
SELECT name, dimensions, document_prefix, query_prefix, provider FROM reembed.models WHERE id = %(model_id)s

-- create_migration --
-- Refused by one_active_migration_per_table where another is under way
INSERT INTO reembed.migrations
       (schema_name, table_name, id_column, content_column, key_type, old_column, old_type, old_dimensions,
        new_column, old_model, new_model, index_method, metric, chunk_size)
VALUES (%(schema)s, %(name)s, %(id)s, %(content)s, %(key_type)s, %(old)s, %(old_type)s, %(old_dimensions)s,
        %(new)s, %(old_model)s, %(new_model)s, %(index_method)s, %(metric)s, %(chunk_size)s)
RETURNING id

-- get_migration --
-- One migration
SELECT * FROM reembed.migrations WHERE id = %(migration_id)s

-- latest_migration --
-- The migration that a command about this table means
SELECT * FROM reembed.migrations
 WHERE schema_name = %(schema)s AND table_name = %(name)s ORDER BY id DESC LIMIT 1

-- last_cleaned_migration --
-- What made the vectors that a table has now, where reembed put them there
SELECT * FROM reembed.migrations
 WHERE schema_name = %(schema)s AND table_name = %(name)s AND state = 'cleaned' AND old_column = %(old)s
 ORDER BY id DESC LIMIT 1

-- active_migrations --
-- What the schedule looks after
SELECT id FROM reembed.migrations WHERE state NOT IN ('planned', 'paused', 'failed', 'cleaned', 'aborted') ORDER BY id

-- change_state --
-- A compare-and-set: of two who try, one gets the row. Forbidden arrows are refused by the trigger
UPDATE reembed.migrations SET state = %(to_state)s, reason = %(reason)s, changed_at = now()
 WHERE id = %(migration_id)s AND state = %(from_state)s

-- set_reason --
-- Why it waits, without a change of state
UPDATE reembed.migrations SET reason = %(reason)s WHERE id = %(migration_id)s AND reason IS DISTINCT FROM %(reason)s

-- save_validation --
-- What the gate reads
INSERT INTO reembed.validations (migration_id, passed, report) VALUES (%(migration_id)s, %(passed)s, %(report)s)

-- last_validation --
-- The newest judgement
SELECT passed, report, created_at FROM reembed.validations WHERE migration_id = %(migration_id)s ORDER BY id DESC LIMIT 1

-- read_flag --
-- The flag of one table, with the models of both sides
SELECT f.state, f.era, f.metric, f.old_column, f.old_type, f.old_dimensions, f.new_column,
       to_jsonb(o) - 'id' AS old_model, to_jsonb(n) - 'id' AS new_model
  FROM reembed.flags f
  LEFT JOIN reembed.models o ON o.id = f.old_model
  JOIN reembed.models n ON n.id = f.new_model
 WHERE f.schema_name = %(schema)s AND f.table_name = %(name)s

-- describe_table --
-- The user's table, as the catalog has it; no row where there is none
SELECT n.nspname AS schema, c.relname AS name, c.relkind AS kind, greatest(c.reltuples, 0)::bigint AS estimated_rows,
       has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'UPDATE') AS may_write,
       pg_has_role(c.relowner, 'USAGE') AS may_alter
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = to_regclass(%(table)s)

-- describe_columns --
-- Its columns, with the base type of each and the width of a vector
SELECT a.attname AS name, t.typname AS type, a.atttypmod AS width, a.attnotnull AS not_null
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
 WHERE a.attrelid = to_regclass(%(table)s) AND a.attnum > 0 AND NOT a.attisdropped

-- key_is_unique --
-- Whether one unique, complete, plain index covers just this column
SELECT EXISTS (
    SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
     WHERE i.indrelid = to_regclass(%(table)s) AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
       AND i.indnkeyatts = 1 AND a.attname = %(column)s AND a.attnotnull) AS found

-- extension_version --
-- pgvector, where it is installed
SELECT extversion AS version FROM pg_extension WHERE extname = 'vector'

-- indexes_on_column --
-- Vector indexes on a column, plain or on an expression over it, oldest first
SELECT c.relname AS name, i.indisvalid AS valid, am.amname AS method
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_am am ON am.oid = c.relam
 WHERE i.indrelid = to_regclass(%(table)s) AND am.amname IN ('hnsw', 'ivfflat')
   AND EXISTS (SELECT FROM pg_depend p JOIN pg_attribute a ON a.attrelid = p.refobjid AND a.attnum = p.refobjsubid
                WHERE p.classid = 'pg_class'::regclass AND p.objid = i.indexrelid AND p.refobjid = i.indrelid
                  AND a.attname = %(column)s)
 ORDER BY i.indexrelid

-- index_state --
-- Whether an index of this name stands, and whether it is whole
SELECT i.indisvalid AS valid FROM pg_index i
 WHERE i.indrelid = to_regclass(%(table)s) AND i.indexrelid = to_regclass(%(index)s)

-- view_dependents --
-- Views that read a column: the old one cannot be dropped under them
SELECT DISTINCT format('%%I.%%I', n.nspname, v.relname) AS name
  FROM pg_depend p
  JOIN pg_rewrite r ON r.oid = p.objid AND p.classid = 'pg_rewrite'::regclass
  JOIN pg_class v ON v.oid = r.ev_class
  JOIN pg_namespace n ON n.oid = v.relnamespace
  JOIN pg_attribute a ON a.attrelid = p.refobjid AND a.attnum = p.refobjsubid
 WHERE p.refobjid = to_regclass(%(table)s) AND a.attname = %(column)s

-- add_columns --
-- Catalog changes only: no row is rewritten
ALTER TABLE {table}
    ADD COLUMN IF NOT EXISTS {new} vector({dimensions}),
    ADD COLUMN IF NOT EXISTS {new_model} smallint,
    ADD COLUMN IF NOT EXISTS {new_hash} uuid,
    ADD COLUMN IF NOT EXISTS {old_stale} boolean

-- create_trigger_function --
-- A changed text makes its vectors stale: kept, so that the document stays findable, and no longer counted as fresh.
-- A service that writes the new vector itself and says from which text (the hash) is left alone, and so is one that
-- writes the old vector. A text that is gone takes the new vector with it
CREATE OR REPLACE FUNCTION {trigger_function}() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.{content} IS NOT DISTINCT FROM NEW.{content} THEN
        -- The old vector was written, and by now it is the text's own
        NEW.{old_stale} := NULL;
        RETURN NEW;
    END IF;
    IF NEW.{content} <> '' THEN
        IF NEW.{new_hash} IS DISTINCT FROM md5(NEW.{content})::uuid THEN
            NEW.{new_model} := NULL;
        END IF;
    ELSE
        NEW.{new} := NULL;
        NEW.{new_model} := NULL;
        NEW.{new_hash} := NULL;
    END IF;
    -- Compared as bytes: the equality of vectors is not on the search path of a function that is safe to run
    NEW.{old_stale} := CASE WHEN record_image_eq(ROW(OLD.{old}), ROW(NEW.{old})) THEN true END;
    RETURN NEW;
END $$

-- drop_trigger --
-- Made anew by every start, dropped by cleanup and abort
DROP TRIGGER IF EXISTS {trigger} ON {table}

-- create_trigger --
-- BEFORE triggers fire in the order of their names: this one's sorts last, so it sees what the others did to the text.
-- No column list: a text can change without being named in SET
CREATE TRIGGER {trigger} BEFORE UPDATE ON {table}
    FOR EACH ROW WHEN (OLD.{content} IS DISTINCT FROM NEW.{content}) EXECUTE FUNCTION {trigger_function}()

-- enable_trigger --
-- Also under logical replication (session_replication_role = replica)
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}

-- drop_old_trigger --
-- Comes and goes with the other one
DROP TRIGGER IF EXISTS {old_trigger} ON {table}

-- create_old_trigger --
-- A service that changes the text first and writes the old vector later. Looks at nothing but rows that wait for it
CREATE TRIGGER {old_trigger} BEFORE UPDATE OF {old} ON {table}
    FOR EACH ROW WHEN (NEW.{old_stale} AND NOT record_image_eq(ROW(OLD.{old}), ROW(NEW.{old})))
    EXECUTE FUNCTION {trigger_function}()

-- enable_old_trigger --
-- Also under logical replication
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {old_trigger}

-- drop_trigger_function --
-- Goes with the trigger
DROP FUNCTION IF EXISTS {trigger_function}()

-- create_vector_index --
-- After the backfill: 5.5 s for 20,000 documents; before it, every write pays
CREATE INDEX {concurrently} {index_name} ON {only} {table} USING {method} ({expression} {operator_class}) {parameters}

-- create_pending_index --
-- Nearly empty; makes finding and counting pending documents cheap from now on
CREATE INDEX {concurrently} {index_name} ON {only} {table} ({id})
    WHERE {new_model} IS DISTINCT FROM {model} AND {content} <> ''

-- create_old_pending_index --
-- As small: makes it cheap to know what a rollback would hide, and to mend it
CREATE INDEX {concurrently} {index_name} ON {only} {table} ({id})
    WHERE ({old} IS NULL OR {old_stale}) AND {content} <> ''

-- take_time --
-- A role's statement_timeout is meant for queries, not for building an index
SELECT set_config('statement_timeout', '0', false)

-- partitions --
-- The leaves of a partitioned table; none where it is an ordinary one
SELECT n.nspname AS schema, c.relname AS name
  FROM pg_partition_tree(to_regclass(%(table)s)) p
  JOIN pg_class c ON c.oid = p.relid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE p.isleaf AND p.level > 0 ORDER BY c.oid

-- attach_index --
-- The parent's index is valid once every partition has brought its own
ALTER INDEX {index} ATTACH PARTITION {partition_index}

-- drop_index --
-- An invalid leftover of a build that was interrupted
DROP INDEX {concurrently} IF EXISTS {index}

-- rename_index --
-- Names are kept across a migration
ALTER INDEX {index} RENAME TO {name}

-- analyze --
-- The planner has to know the new column before anyone searches it
ANALYZE {table}

-- drop_columns --
-- Catalog changes only; indexes on these columns go with them
ALTER TABLE {table} {drops}

-- rename_column --
-- Catalog change only
ALTER TABLE {table} RENAME COLUMN {column} TO {name}

-- sample_rows --
-- Rows whose vectors are both fresh, spread over the table, the same for the same seed
SELECT d.{id}::text AS id, d.{new_hash} AS content_hash, d.{old}::vector AS old, d.{new} AS new
  FROM {table} d TABLESAMPLE {sampling} ({percent}) REPEATABLE (%(seed)s)
 WHERE d.{new_model} = {model} AND d.{old_stale} IS NOT TRUE
   AND vector_norm(d.{old}::vector) > 0 AND vector_norm(d.{new}) > 0
 ORDER BY md5(d.{id}::text) LIMIT %(limit)s

-- nearest --
-- The nearest documents of a query vector in one column; the expression is the indexed one
SELECT d.{id}::text AS id, d.{new_hash} AS content_hash
  FROM {table} d
 WHERE {column} IS NOT NULL
 ORDER BY {distance} LIMIT %(limit)s

-- search --
-- The nearest documents by the flag. `era` proves that the column's name still means what the flag said
SELECT d.{id} AS id, d.{content} AS content, {similarity} AS similarity
  FROM {table} d
 WHERE {column} IS NOT NULL AND {unchanged}
 ORDER BY {distance} LIMIT %(limit)s

-- unchanged --
-- Fragment: `cleanup` has not given the column's name to other vectors since the flag was read
%(era)s = coalesce((SELECT f.era FROM reembed.flags f WHERE f.schema_name = %(schema)s AND f.table_name = %(name)s), 0)
