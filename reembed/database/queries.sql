-- Every query that reembed runs. A block is `-- name --`, a line of purpose, one statement.
-- {names} are identifiers and fragments put in through psycopg.sql; %(values)s are bound.
-- `d` is the document. Its new vector stands in {v}: in `d` itself, or in `n`, the companion's row that {joined} brings.

-- joined --
-- Fragment: the document's row in the companion, where it has one
LEFT JOIN {companion} n ON n.{id} = d.{id}

-- without_vector --
-- Fragment: this document has no fresh vector of the migration's model, and no recorded refusal of this text
{v}.{new_model} IS DISTINCT FROM {model} AND d.{content} <> '' AND {not_refused}

-- listed --
-- Fragment: once the companion has a row for every document with text, only those rows are looked at, by their index
n.{id} IS NOT NULL AND {without_vector}

-- old_pending --
-- Fragment: this document has no fresh vector in the old column, and no recorded refusal of this text
{old_wanting} AND d.{content} <> '' AND {not_refused}

-- old_wanting --
-- Fragment: no old vector, or one of an earlier text
(d.{old} IS NULL OR d.{old_stale})

-- companion_old_wanting --
-- Fragment: the same. The companion's triggers note both, so that its own index finds them
n.{old_stale}

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

-- companion_old_vector --
-- Fragment: the same where the companion notes what is stale
{old} = v.vector

-- written_to_table --
-- Fragment: the batch goes into the documents table
written AS (
    UPDATE {table} d
       SET {vector}
      FROM unnest(%(ids)s::{key_type}[], %(vectors)s::vector[], %(hashes)s::uuid[]) AS v(id, vector, content_hash)
     WHERE d.{id} = v.id AND md5(d.{content})::uuid = v.content_hash AND EXISTS (SELECT FROM held)
    RETURNING d.{id} AS id
)

-- written_to_old_column --
-- Fragment: the same, with the companion told that these old vectors are fresh. Their trigger would not see one that
-- comes out as it was
{written_to_table}, fresh AS (
    UPDATE {companion} n SET {old_stale} = NULL
      FROM written WHERE n.{id} = written.id
)

-- written_to_companion --
-- Fragment: the batch goes into the companion. The lock makes a text that is being changed conflict with the batch, as
-- an UPDATE of the document would: what waited for it is looked at again, and whatever comes later finds this vector
-- and makes it stale. In the order of keys, so that two batches cannot wait for each other
unchanged AS MATERIALIZED (
    SELECT d.{id} AS id, v.vector, v.content_hash, d.{old} IS NULL AS without_old
      FROM unnest(%(ids)s::{key_type}[], %(vectors)s::vector[], %(hashes)s::uuid[]) AS v(id, vector, content_hash)
      JOIN {table} d ON d.{id} = v.id
     WHERE md5(d.{content})::uuid = v.content_hash AND EXISTS (SELECT FROM held)
     ORDER BY d.{id} FOR SHARE OF d
), written AS (
    INSERT INTO {companion} ({id}, {new}, {new_model}, {new_hash}, {old_stale})
    SELECT u.id, u.vector, {model}, u.content_hash, CASE WHEN u.without_old THEN true END FROM unchanged u
    ON CONFLICT ({id}) DO UPDATE
       SET {new} = EXCLUDED.{new}, {new_model} = EXCLUDED.{new_model}, {new_hash} = EXCLUDED.{new_hash}
    RETURNING 1
)

-- catch_up --
-- Fragment: pending, and in no chunk that is still to be worked on, whoever is at it and however long it was put off.
-- Nor in one that was given up within the hour: those wait for a person, or for better times. The ranges are cast once
{pending}
AND NOT EXISTS (SELECT FROM (SELECT c.first_id::{key_type} AS first_id, c.last_id::{key_type} AS last_id
                               FROM reembed.chunks c
                              WHERE c.migration_id = {migration} AND c.side = {side}
                                AND (c.state IN ('pending', 'running')
                                     OR c.state = 'failed' AND (c.retry_at IS NOT NULL OR c.failed_at > now() - interval '1 hour')) OFFSET 0) c
                 WHERE d.{id} BETWEEN c.first_id AND c.last_id)

-- fetch_batch --
-- The next documents of a range that still need a vector of the current model
SELECT d.{id} AS id, d.{content} AS content, md5(d.{content})::uuid AS content_hash
  FROM {table} d {joined}
 WHERE d.{id} {from_operator} %(from_id)s::{key_type} AND d.{id} <= %(last_id)s::{key_type}
   AND {pending}
 ORDER BY d.{id}
 LIMIT %(limit)s

-- write_batch --
-- The vectors of one batch, the refusals in it and the chunk's progress, in one statement and so in one transaction.
-- Nothing is written unless this attempt still holds the chunk (`held`), and nothing of the old model while the old
-- column's name stands for the place that new vectors come home to; a document whose text is no longer the one
-- that was embedded is passed over and stays pending
WITH held AS MATERIALIZED (
    SELECT FROM reembed.chunks c
     WHERE c.migration_id = {migration} AND c.number = %(number)s
       AND c.attempt = %(attempt)s AND c.state = 'running'
       AND NOT EXISTS (SELECT FROM reembed.migrations m
                        WHERE m.id = c.migration_id AND m.state = 'cleaning' AND c.side = 'old')
       FOR UPDATE
), {written}, refused AS (
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

-- not_kept --
-- Those of a batch that still want their vector, with the text that it is of
SELECT d.{id} AS id FROM unnest(%(ids)s::{key_type}[], %(hashes)s::uuid[]) AS w(id, content_hash)
  JOIN {table} d ON d.{id} = w.id {joined}
 WHERE md5(d.{content})::uuid = w.content_hash AND {pending}

-- fresh_vectors --
-- Vectors of documents whose text is known to be that of others: one request less
SELECT w.content_hash, {v}.{new} AS vector
  FROM unnest(%(ids)s::{key_type}[], %(hashes)s::uuid[]) AS w(id, content_hash)
  JOIN {table} d ON d.{id} = w.id {joined}
 WHERE {v}.{new_model} = {model} AND {v}.{new_hash} = w.content_hash AND {v}.{new} IS NOT NULL

-- count_documents --
-- The whole table by what stands beside each document, in one scan: the proof that nothing is missing or stale
SELECT count(*) AS documents,
       count(*) FILTER (WHERE d.{content} IS NULL OR d.{content} = '') AS without_text,
       count(*) FILTER (WHERE {without_vector}) AS pending,
       count(*) FILTER (WHERE {v}.{new_model} = {model} AND d.{content} <> '') AS embedded,
       count(*) FILTER (WHERE {v}.{new_model} = {model}
                          AND {v}.{new_hash} IS DISTINCT FROM md5(d.{content})::uuid) AS stale,
       count(*) FILTER (WHERE {v}.{new_model} = {model}
                          AND ({v}.{new} IS NULL OR vector_norm({v}.{new}) = 0)) AS invalid
  FROM {table} d {joined}

-- spread --
-- The fresh vectors as a whole, in one scan
SELECT avg(vector_norm({v}.{new})) AS norm_mean, stddev_pop(vector_norm({v}.{new})) AS norm_deviation,
       avg({v}.{new}) AS mean, avg({v}.{new} * {v}.{new}) AS mean_square,
       count(*) FILTER (WHERE d.{old}::vector = {v}.{new}) AS copied
  FROM {table} d {joined}
 WHERE {v}.{new_model} = {model} AND d.{content} <> ''

-- count_shared --
-- Documents that have the very vector of a document of another text, over every row: told by digests, which are shorter
SELECT coalesce(sum(documents), 0)::bigint AS shared
  FROM (SELECT count(*) AS documents
          FROM {table} d {joined}
         WHERE {v}.{new_model} = {model} AND {v}.{new} IS NOT NULL AND d.{content} <> ''
         GROUP BY md5(vector_send({v}.{new}))
        HAVING min({v}.{new_hash}::text COLLATE "C") <> max({v}.{new_hash}::text COLLATE "C")) same

-- old_sample --
-- A few documents with their old vectors, to ask the old model whether it made them. Short ones, which it took whole
SELECT d.{content} AS content, d.{old}::vector AS old FROM {table} d
 WHERE d.{content} <> '' AND length(d.{content}) < 4000 AND vector_norm(d.{old}::vector) > 0 LIMIT %(limit)s

-- texts_of --
-- A few texts to embed again; they go to the provider that had them before, and nowhere else
SELECT d.{id}::text AS id, d.{content} AS content
  FROM {table} d {joined}
 WHERE d.{id} = ANY(%(ids)s::{key_type}[]) AND {v}.{new_model} = {model} AND {v}.{new_hash} = md5(d.{content})::uuid

-- mark_pending --
-- What a census finds stale (a trigger that was dropped or disabled for a while) or invalid becomes pending again
UPDATE {table} d SET {new_model} = NULL
 WHERE d.{new_model} = {model}
   AND (d.{new_hash} IS DISTINCT FROM md5(d.{content})::uuid OR d.{new} IS NULL OR vector_norm(d.{new}) = 0)

-- mark_wrong --
-- The chunks of documents that were proved to have another vector than theirs become pending again, {vectors} being where
-- the vectors are: what made one of them wrong wrote the others, too. A document of no chunk stands for itself
UPDATE {vectors} v SET {new_model} = NULL
  FROM (SELECT DISTINCT coalesce(c.first_id, w.id)::{key_type} AS first_id, coalesce(c.last_id, w.id)::{key_type} AS last_id
          FROM unnest(%(ids)s::text[]) w (id)
          LEFT JOIN reembed.chunks c
            ON c.migration_id = {migration} AND c.side = 'new' AND NOT c.catch_up
           AND w.id::{key_type} BETWEEN c.first_id::{key_type} AND c.last_id::{key_type}) AS wrong
 WHERE v.{new_model} = {model} AND v.{id} BETWEEN wrong.first_id AND wrong.last_id

-- companion_mark_pending --
-- The same in the companion, and a row for each document with text that has none: from then on the companion's index
-- has all that is pending
WITH listed AS (
    INSERT INTO {companion} ({id}, {old_stale})
    SELECT d.{id}, CASE WHEN d.{old} IS NULL THEN true END FROM {table} d {joined}
     WHERE n.{id} IS NULL AND d.{content} <> ''
    ON CONFLICT DO NOTHING
)
UPDATE {companion} n SET {new_model} = NULL
  FROM {table} d
 WHERE d.{id} = n.{id} AND n.{new_model} = {model}
   AND (n.{new_hash} IS DISTINCT FROM md5(d.{content})::uuid OR n.{new} IS NULL OR vector_norm(n.{new}) = 0)

-- count_pending --
-- Cheap once the index on pending documents exists
SELECT count(*) AS pending FROM {table} d {joined} WHERE {pending}

-- count_old_pending --
-- Documents that a search of the old column cannot find, or finds by an older text. By the index that exists for it
SELECT count(*) FILTER (WHERE d.{old} IS NULL) AS hidden, count(d.{old}) AS stale
  FROM {table} d {joined} WHERE {old_wanting} AND d.{content} <> ''

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

-- weight --
-- Fragment: how much a document is used. What cannot be added up counts for nothing: NULL, NaN, infinity
CASE WHEN d.{order_column}::float8 BETWEEN -1e15 AND 1e15 THEN d.{order_column}::float8 ELSE 0 END

-- running_weight --
-- Fragment: how much it and all documents before it are used
sum({weight}) OVER keys

-- plan_chunks --
-- Ranges of every n-th id that exists, so that gaps and skew still give even chunks: one ordered scan of the key,
-- marking the first and last of every n, then one row for each pair of marks. Everything that is asked of a row is
-- asked in one window, in the order of the key's index: nothing is sorted but the marks, however large the table
INSERT INTO reembed.chunks (migration_id, side, number, first_id, last_id, documents, catch_up, priority)
SELECT {migration}, {side}, %(after_number)s + (n - 1) / %(chunk_size)s + 1,
       (array_agg(id ORDER BY n))[1]::text, (array_agg(id ORDER BY n DESC))[1]::text,
       max(n) - min(n) + 1, %(catch_up)s,
       (array_agg(running_weight ORDER BY n DESC))[1] - (array_agg(running_weight - weight ORDER BY n))[1]
  FROM (SELECT d.{id} AS id, {weight} AS weight, row_number() OVER keys AS n, {running_weight} AS running_weight,
               lead(d.{id}) OVER keys IS NULL AS is_last
          FROM {table} d {joined} WHERE {wanted} WINDOW keys AS (ORDER BY d.{id})) numbered
 WHERE (n - 1) %% %(chunk_size)s = 0 OR n %% %(chunk_size)s = 0 OR is_last
 GROUP BY (n - 1) / %(chunk_size)s

-- last_chunk_number --
-- Chunks are numbered from 1
SELECT coalesce(max(number), 0) AS number FROM reembed.chunks WHERE migration_id = %(migration_id)s

-- delete_chunks --
-- A plan that was interrupted is written anew; and old vectors are not made any more when the old column goes
DELETE FROM reembed.chunks WHERE migration_id = %(migration_id)s AND side = %(side)s

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
                  AND m.state NOT IN ('planned', 'paused', 'failed', 'cleaned', 'aborted')
                  AND (c.side = 'new' OR m.state <> 'cleaning'))
RETURNING c.migration_id, c.side, c.number, c.attempt, c.first_id, c.last_id, c.documents, c.catch_up

-- claim_next_chunk --
-- Any chunk that has not struck, for a worker whose own does not fill its time
WITH free AS (
    SELECT number FROM reembed.chunks
     WHERE migration_id = %(migration_id)s AND side = %(side)s AND state = 'pending' AND strikes = 0
       AND (retry_at IS NULL OR retry_at <= clock_timestamp())
       AND NOT EXISTS (SELECT FROM reembed.jobs j
                        WHERE j.migration_id = chunks.migration_id AND j.number = chunks.number AND j.ended_at IS NULL)
       AND EXISTS (SELECT FROM reembed.migrations m WHERE m.id = migration_id
                      AND m.state NOT IN ('planned', 'paused', 'failed', 'cleaned', 'aborted')
                      AND (side = 'new' OR m.state <> 'cleaning'))
     ORDER BY priority DESC, number LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE reembed.chunks c
   SET state = 'running', attempt = attempt + 1, strikes = strikes + 1, lease_owner = %(owner)s,
       lease_until = clock_timestamp() + make_interval(secs => %(lease_seconds)s),
       started_at = coalesce(started_at, clock_timestamp()), retry_at = NULL, waiting_for = NULL
  FROM free
 WHERE c.migration_id = %(migration_id)s AND c.number = free.number
RETURNING c.migration_id, c.side, c.number, c.attempt, c.first_id, c.last_id, c.documents, c.catch_up

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

-- held_chunk --
-- Fragment: this attempt still holds the chunk, and nobody takes it before this transaction ends
held AS MATERIALIZED (
    SELECT FROM reembed.chunks c
     WHERE c.migration_id = %(migration_id)s AND c.number = %(number)s AND c.attempt = %(attempt)s AND c.state = 'running'
       FOR UPDATE
)

-- lock_jobs --
-- Who makes a job counts those that there are; nobody else makes one before this transaction ends
SELECT FROM reembed.migrations WHERE id = %(migration_id)s FOR NO KEY UPDATE

-- begin_job --
-- Before the provider hears of it
WITH {held}
INSERT INTO reembed.jobs (migration_id, number, key, texts, reserved)
SELECT %(migration_id)s, %(number)s, %(key)s, %(texts)s, %(reserved)s FROM held
RETURNING id, key, name, texts, reserved, created_at

-- name_job --
-- The provider has it
WITH {held}
UPDATE reembed.jobs SET name = %(name)s WHERE id = %(job)s AND EXISTS (SELECT FROM held)

-- end_job --
-- All that it answered is committed, or it never was; and its bill takes the place of what was set aside, once
WITH {held}, ended AS (
    UPDATE reembed.jobs SET ended_at = clock_timestamp(), tokens = %(tokens)s, charged = %(charged)s
     WHERE id = %(job)s AND ended_at IS NULL AND EXISTS (SELECT FROM held)
    RETURNING migration_id, reserved, charged
), billed AS (
    UPDATE reembed.migrations m
       SET reserved_tokens = m.reserved_tokens - e.reserved, spent_tokens = m.spent_tokens + e.charged
      FROM ended e WHERE m.id = e.migration_id
)
SELECT EXISTS (SELECT FROM held) AS held

-- open_job --
-- What the provider has of a chunk
SELECT id, key, name, texts, reserved, created_at FROM reembed.jobs
 WHERE migration_id = %(migration_id)s AND number = %(number)s AND ended_at IS NULL

-- open_jobs --
-- What the provider has of a migration, the oldest first
SELECT id, key, name, texts, reserved, created_at FROM reembed.jobs
 WHERE migration_id = %(migration_id)s AND ended_at IS NULL ORDER BY id

-- count_jobs --
-- How many the provider has, of how many texts, and for how long it has had the oldest; and what the others were billed
SELECT count(*) FILTER (WHERE ended_at IS NULL) AS jobs,
       coalesce(sum(texts) FILTER (WHERE ended_at IS NULL), 0)::bigint AS texts,
       extract(epoch FROM clock_timestamp() - min(created_at) FILTER (WHERE ended_at IS NULL))::float8 AS oldest_seconds,
       coalesce(sum(tokens), 0)::bigint AS tokens
  FROM reembed.jobs WHERE migration_id = %(migration_id)s

-- job_has_ended --
-- Whether nobody looks for it any more
SELECT ended_at IS NOT NULL AS ended FROM reembed.jobs WHERE id = %(job)s

-- rescue_chunks --
-- Give back the chunks of dead workers, or fail those that used up their strikes by it
-- One whose row is locked is being written at this moment: its worker waits for a row of the application's
WITH lapsed AS MATERIALIZED (
    SELECT number FROM reembed.chunks
     WHERE migration_id = %(migration_id)s AND state = 'running' AND lease_until < clock_timestamp()
       FOR UPDATE SKIP LOCKED
)
UPDATE reembed.chunks c
   SET state = CASE WHEN strikes < %(max_strikes)s THEN 'pending' ELSE 'failed' END,
       lease_owner = NULL, lease_until = NULL, dispatched_at = NULL, waiting_for = NULL,
       error = format('its worker (%%s) died or hung', lease_owner), failed_at = clock_timestamp()
  FROM lapsed
 WHERE c.migration_id = %(migration_id)s AND c.number = lapsed.number
RETURNING c.number, c.state

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
-- The next chunks to publish, those that matter most before the others. Marked first and committed, published afterwards: a message may be lost or doubled,
-- never a chunk
WITH due AS MATERIALIZED (
    SELECT number FROM reembed.chunks
     WHERE migration_id = %(migration_id)s AND state = 'pending' AND dispatched_at IS NULL
       AND (retry_at IS NULL OR retry_at <= clock_timestamp())
     ORDER BY priority DESC, number LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE reembed.chunks c SET dispatched_at = clock_timestamp(), retry_at = NULL
  FROM due
 WHERE c.migration_id = %(migration_id)s AND c.number = due.number
RETURNING c.number, c.first_id, c.last_id, c.priority

-- forget_messages --
-- Nothing waits in the queue, yet chunks published a while ago were never claimed: their messages are lost
UPDATE reembed.chunks SET dispatched_at = NULL
 WHERE migration_id = %(migration_id)s AND state = 'pending'
   AND dispatched_at <= clock_timestamp() - make_interval(secs => %(older_than_seconds)s)

-- count_chunks --
-- Progress, from the ledger alone
SELECT count(*) FILTER (WHERE state = 'pending') AS pending,
       count(*) FILTER (WHERE state = 'running') AS running,
       -- The schedule has a minute to take its look before anybody is told that it is missing
       count(*) FILTER (WHERE state = 'running' AND lease_until >= clock_timestamp() - interval '1 minute') AS held,
       count(*) FILTER (WHERE state = 'done') AS done,
       count(*) FILTER (WHERE state = 'failed') AS failed,
       count(*) FILTER (WHERE state = 'failed' AND retry_at IS NULL) AS given_up,
       count(*) FILTER (WHERE state = 'pending' AND dispatched_at IS NOT NULL) AS published,
       count(*) FILTER (WHERE state = 'pending' AND dispatched_at IS NULL
                          AND (retry_at IS NULL OR retry_at <= clock_timestamp() - interval '1 minute')) AS due,
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

-- count_unfinished --
-- How many chunks for the new column, and for the old one, are still to be worked on
SELECT side, count(*) AS unfinished FROM reembed.chunks
 WHERE migration_id = %(migration_id)s
   AND (state IN ('pending', 'running') OR state = 'failed' AND retry_at IS NOT NULL)
 GROUP BY side

-- lock_state --
-- What nobody may change until this transaction ends
SELECT state FROM reembed.migrations WHERE id = %(migration_id)s FOR SHARE

-- lock_table --
-- Nobody reads or writes it until this transaction ends
LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE

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

-- count_last_round --
-- Documents of the newest round of catching up: about as many as an application that goes on writing has pending now.
-- None where nobody wrote for a while
SELECT coalesce(sum(documents), 0) AS documents
  FROM reembed.chunks
 WHERE migration_id = %(migration_id)s AND catch_up AND side = 'new' AND planned_at > now() - interval '2 minutes'
   AND planned_at = (SELECT max(planned_at) FROM reembed.chunks
                      WHERE migration_id = %(migration_id)s AND catch_up AND side = 'new')

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
  FROM reembed.overlong o JOIN {table} d ON d.{id} = o.document_id::{key_type} {joined}
 WHERE o.migration_id = {migration} AND o.side = 'new' AND o.content_hash = {vector_hash}

-- list_overlong --
-- The same, one by one
SELECT o.document_id, o.treatment, o.tokens
  FROM reembed.overlong o JOIN {table} d ON d.{id} = o.document_id::{key_type} {joined}
 WHERE o.migration_id = {migration} AND o.side = 'new' AND o.content_hash = {vector_hash}
 ORDER BY o.tokens DESC, o.document_id

-- release_failures --
-- The documents are tried again
DELETE FROM reembed.failures WHERE migration_id = {migration}

-- ledger_exists --
-- Whether any `start` was ever made in this database. By the catalog's rows: who waited for another `start` would still
-- be told by to_regclass what this session has remembered from before
SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = 'reembed' AND c.relname = 'migrations') AS found

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
        new_column, companion, old_model, new_model, index_method, metric, chunk_size)
VALUES (%(schema)s, %(name)s, %(id)s, %(content)s, %(key_type)s, %(old)s, %(old_type)s, %(old_dimensions)s,
        %(new)s, %(companion)s, %(old_model)s, %(new_model)s, %(index_method)s, %(metric)s, %(chunk_size)s)
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

-- newest_migrations --
-- What is shown of each table
SELECT max(id) AS id FROM reembed.migrations GROUP BY schema_name, table_name ORDER BY id

-- migration_states --
-- What a migration can be in
SELECT from_state AS state FROM reembed.transitions WHERE thing = 'migration'
 UNION SELECT to_state FROM reembed.transitions WHERE thing = 'migration' ORDER BY state

-- change_state --
-- A compare-and-set: of two who try, one gets the row. Forbidden arrows are refused by the trigger
UPDATE reembed.migrations SET state = %(to_state)s, reason = %(reason)s, changed_at = now()
 WHERE id = %(migration_id)s AND state = %(from_state)s

-- set_reason --
-- Why it waits, without a change of state
UPDATE reembed.migrations SET reason = %(reason)s
 WHERE id = %(migration_id)s AND reason IS DISTINCT FROM %(reason)s AND state NOT IN ('paused', 'failed')

-- set_limits --
-- What is not given stays as it is. A worker counts for the limits that there were when it claimed its chunk, so a first
-- one is set where nobody is at work
UPDATE reembed.migrations m
   SET budget_usd = coalesce(%(usd)s::float8, m.budget_usd),
       budget_tokens = coalesce(%(tokens)s::bigint, m.budget_tokens),
       budget_reached = m.budget_reached AND %(usd)s::float8 IS NULL,
       spent_tokens = CASE WHEN m.budget_usd IS NOT NULL THEN m.spent_tokens ELSE (
           SELECT coalesce(sum(c.tokens), 0) FROM reembed.chunks c WHERE c.migration_id = m.id AND c.side = 'new') + (
           SELECT coalesce(sum(j.charged), 0) FROM reembed.jobs j WHERE j.migration_id = m.id) END,
       until_percent = coalesce(%(until)s::float8, m.until_percent)
 WHERE m.id = %(migration_id)s
   AND ((%(usd)s::float8 IS NULL OR m.budget_usd IS NOT NULL)
        AND (%(until)s::float8 IS NULL OR m.until_percent IS NOT NULL)
        OR m.state IN ('planned', 'paused')
           AND NOT EXISTS (SELECT FROM reembed.chunks c WHERE c.migration_id = m.id AND c.state = 'running'
                              AND c.lease_until >= clock_timestamp()))
RETURNING spent_tokens, budget_tokens

-- reserve_tokens --
-- Before a request. Of all workers that ask at once, each sees what the one before it was given
UPDATE reembed.migrations SET reserved_tokens = reserved_tokens + %(tokens)s
 WHERE id = %(migration_id)s AND spent_tokens + reserved_tokens + %(tokens)s <= budget_tokens

-- settle_tokens --
-- After it: what was billed instead of what was set aside
UPDATE reembed.migrations
   SET reserved_tokens = reserved_tokens - %(reserved)s, spent_tokens = spent_tokens + %(billed)s
 WHERE id = %(migration_id)s

-- budget --
-- What is left, and what may come back
SELECT budget_usd, budget_tokens, spent_tokens, reserved_tokens, budget_reached
  FROM reembed.migrations WHERE id = %(migration_id)s

-- pause_at_budget --
-- Unless there is room by now, because somebody raised it. Beside a finished backfill the flag stays where it is
UPDATE reembed.migrations
   SET budget_reached = true, state = CASE state WHEN 'backfilling' THEN 'paused' ELSE state END,
       reason = CASE state WHEN 'backfilling' THEN %(reason)s ELSE reason END,
       changed_at = CASE state WHEN 'backfilling' THEN now() ELSE changed_at END
 WHERE id = %(migration_id)s AND NOT budget_reached
   AND spent_tokens + reserved_tokens + %(tokens)s > budget_tokens

-- share --
-- How much of the documents is embedded, by the ledger alone, and how much was wanted
SELECT m.state, m.until_percent, coalesce(sum(c.documents), 0)::bigint AS documents,
       coalesce(sum(CASE c.state WHEN 'done' THEN c.documents ELSE least(c.embedded, c.documents) END), 0)::bigint
           AS embedded
  FROM reembed.migrations m
  LEFT JOIN reembed.chunks c ON c.migration_id = m.id AND c.side = 'new' AND NOT c.catch_up
 WHERE m.id = %(migration_id)s
 GROUP BY m.id

-- pause_at_share --
-- Once: whoever looks later finds another limit, or none
UPDATE reembed.migrations SET state = 'paused', reason = %(reason)s, changed_at = now(), until_percent = NULL
 WHERE id = %(migration_id)s AND state = 'backfilling' AND until_percent = %(until)s

-- billed --
-- Tokens by the model whose provider billed them, for chunks, their jobs and judgements
SELECT c.new + b.new + j.new AS new, c.old + j.old AS old, b.new - b.charged AS saved,
       c.new + b.new = 0 AND c.embedded > 0 AS untold
  FROM (SELECT coalesce(sum(tokens) FILTER (WHERE side = 'new'), 0)::bigint AS new,
               coalesce(sum(tokens) FILTER (WHERE side = 'old'), 0)::bigint AS old,
               coalesce(sum(embedded) FILTER (WHERE side = 'new'), 0) AS embedded
          FROM reembed.chunks WHERE migration_id = %(migration_id)s) c,
       (SELECT coalesce(sum(tokens), 0)::bigint AS new, coalesce(sum(charged), 0)::bigint AS charged
          FROM reembed.jobs WHERE migration_id = %(migration_id)s) b,
       (SELECT coalesce(sum((report #>> '{{tokens,new}}')::bigint), 0)::bigint AS new,
               coalesce(sum((report #>> '{{tokens,old}}')::bigint), 0)::bigint AS old
          FROM reembed.validations WHERE migration_id = %(migration_id)s) j

-- save_validation --
-- What the gate reads
INSERT INTO reembed.validations (migration_id, passed, report) VALUES (%(migration_id)s, %(passed)s, %(report)s)

-- last_validation --
-- The newest judgement
SELECT id, passed, report, created_at FROM reembed.validations
 WHERE migration_id = %(migration_id)s ORDER BY id DESC LIMIT 1

-- list_validations --
-- Every judgement, the newest first
SELECT id, passed, report, created_at FROM reembed.validations WHERE migration_id = %(migration_id)s ORDER BY id DESC

-- count_changed --
-- Documents that were embedded after a judgement began: those of the rounds of catching up since. By the ledger alone.
-- Reports of earlier versions do not say when it began
SELECT coalesce(sum(c.embedded), 0) AS changed
  FROM reembed.chunks c JOIN reembed.validations v ON v.id = %(validation_id)s
 WHERE c.migration_id = %(migration_id)s AND c.side = 'new' AND c.progress_at > coalesce((v.report ->> 'began_at')::timestamptz, v.created_at)

-- record_decision --
-- The session's role is the database's word, the operator their machine's
INSERT INTO reembed.decisions (migration_id, verb, percent, forced, operator)
VALUES (%(migration_id)s, %(verb)s, %(percent)s, %(forced)s, %(operator)s)

-- list_decisions --
-- The newest first
SELECT verb, percent, forced, role, operator, decided_at FROM reembed.decisions
 WHERE migration_id = %(migration_id)s ORDER BY id DESC

-- read_flag --
-- The flag of one table, with the models of both sides, and the era, in one snapshot. Always a row: without a migration
-- there is an era all the same
SELECT reembed.era(%(schema)s, %(name)s) AS era,
       f.migration_id, f.state, f.canary_percent, f.metric, f.old_column, f.old_type, f.old_dimensions,
       f.new_column, f.companion,
       to_jsonb(o) - 'id' AS old_model, to_jsonb(n) - 'id' AS new_model
  FROM (VALUES (1)) always
  LEFT JOIN reembed.flags f ON f.schema_name = %(schema)s AND f.table_name = %(name)s
  LEFT JOIN reembed.models o ON o.id = f.old_model
  LEFT JOIN reembed.models n ON n.id = f.new_model

-- change_flag --
-- A compare-and-set of state and canary together. The time is that of a change of state
UPDATE reembed.migrations
   SET state = %(to_state)s, canary_percent = %(to_percent)s, reason = NULL,
       changed_at = CASE WHEN state = %(to_state)s THEN changed_at ELSE now() END
 WHERE id = %(migration_id)s AND state = %(from_state)s AND canary_percent = %(from_percent)s

-- listen --
-- To what the trigger `tell` says
LISTEN reembed_flag

-- count_searches --
-- What one process counted since it last did. In the order of the key, so that two processes cannot wait for each other
INSERT INTO reembed.searches (migration_id, side, milliseconds, searches, seconds)
SELECT v.migration_id, v.side, v.milliseconds, v.searches, v.seconds
  FROM unnest(%(migrations)s::bigint[], %(sides)s::text[], %(classes)s::float8[], %(searches)s::bigint[],
              %(seconds)s::float8[]) AS v(migration_id, side, milliseconds, searches, seconds)
 ORDER BY v.migration_id, v.side, v.milliseconds
ON CONFLICT (migration_id, side, milliseconds) DO UPDATE
   SET searches = reembed.searches.searches + EXCLUDED.searches, seconds = reembed.searches.seconds + EXCLUDED.seconds

-- add_shadow --
-- One search that ran on both sides
INSERT INTO reembed.shadows (migration_id, k, searches, overlap, overlap_squares)
VALUES (%(migration_id)s, %(k)s, 1, %(overlap)s, %(overlap)s::float8 ^ 2)
ON CONFLICT (migration_id, k) DO UPDATE
   SET searches = reembed.shadows.searches + 1, overlap = reembed.shadows.overlap + EXCLUDED.overlap,
       overlap_squares = reembed.shadows.overlap_squares + EXCLUDED.overlap_squares

-- count_requests --
-- What one worker process counted since it last did. In the order of the key, as with searches
INSERT INTO reembed.requests (migration_id, outcome, requests, seconds)
SELECT v.migration_id, v.outcome, v.requests, v.seconds
  FROM unnest(%(migrations)s::bigint[], %(outcomes)s::text[], %(requests)s::bigint[], %(seconds)s::float8[])
       AS v(migration_id, outcome, requests, seconds)
 ORDER BY v.migration_id, v.outcome
ON CONFLICT (migration_id, outcome) DO UPDATE
   SET requests = reembed.requests.requests + EXCLUDED.requests, seconds = reembed.requests.seconds + EXCLUDED.seconds

-- list_requests --
-- By outcome
SELECT outcome, requests, seconds FROM reembed.requests WHERE migration_id = %(migration_id)s

-- list_searches --
-- Both sides, by class of duration
SELECT side, milliseconds, searches, seconds FROM reembed.searches
 WHERE migration_id = %(migration_id)s ORDER BY side, milliseconds

-- read_shadow --
-- By the number of results that most of them compared
SELECT k, searches, overlap, overlap_squares FROM reembed.shadows
 WHERE migration_id = %(migration_id)s ORDER BY searches DESC, k LIMIT 1

-- server_load --
-- What the governor looks at: positions in the log, in bytes, of this server and of the standby that is furthest
-- behind, and how many sessions of others are at work, in all databases
SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint AS written,
       (SELECT min(r.replay_lsn - '0/0'::pg_lsn)::bigint FROM pg_stat_replication r) AS replayed,
       (SELECT extract(epoch FROM max(r.replay_lag))::float8 FROM pg_stat_replication r) AS measured,
       (SELECT count(*) FROM pg_stat_activity a
         WHERE a.state = 'active' AND a.backend_type = 'client backend'
           AND a.application_name NOT LIKE 'reembed %%') AS active_sessions

-- may_see_load --
-- Whether this role sees what sessions of other roles are at
SELECT pg_has_role('pg_read_all_stats', 'USAGE') AS may

-- this_session --
-- Which process of which server this is. Behind a pooler the next transaction may find another
SELECT pg_backend_pid() AS process, pg_postmaster_start_time() AS started_at,
       (SELECT oid FROM pg_database WHERE datname = current_database())::bigint AS database

-- clock --
-- What the database takes the time to be
SELECT extract(epoch FROM clock_timestamp())::float8 AS seconds

-- describe_server --
-- What it is, and whether it can be written to
SELECT current_setting('server_version') AS version, pg_is_in_recovery() AS is_standby,
       current_setting('default_transaction_read_only') = 'on' AS is_read_only,
       current_setting('max_connections')::integer AS connections,
       current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
           - (SELECT sum(numbackends) FROM pg_stat_database)::integer AS connections_left

-- oldest_transaction --
-- Of others, and older than a minute. Our own builds are none of those that hold up a build of ours
SELECT t.holder, extract(epoch FROM clock_timestamp() - t.since)::float8 AS seconds
  FROM (SELECT format('process %%s, %%s', a.pid, coalesce(nullif(a.application_name, ''), 'unnamed')) AS holder,
               a.xact_start AS since
          FROM pg_stat_activity a
         WHERE a.datname = current_database() AND a.backend_type = 'client backend'
           AND a.application_name NOT LIKE 'reembed %%' AND a.pid <> pg_backend_pid()
        UNION ALL
        SELECT format('prepared transaction %%s', p.gid), p.prepared
          FROM pg_prepared_xacts p WHERE p.database = current_database()) t
 WHERE t.since < clock_timestamp() - make_interval(secs => %(older_than_seconds)s)
 ORDER BY t.since LIMIT 1

-- leaves --
-- Fragment: the table, or its partitions where it has any
c.relkind = 'r' AND (c.oid = to_regclass(%(table)s)
                     OR c.oid IN (SELECT p.relid FROM pg_partition_tree(to_regclass(%(table)s)) p))

-- describe_size --
-- On the disk, with indexes and what is stored out of line; unknown, where no ANALYZE was since it was filled
SELECT count(*) AS partitions, coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint AS rows,
       coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint AS bytes,
       coalesce(bool_or(c.reltuples <> 0 AND NOT EXISTS (
           SELECT FROM pg_stats s WHERE s.schemaname = n.nspname AND s.tablename = c.relname)), false) AS is_unknown
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {leaves}

-- describe_vacuum --
-- Whether autovacuum looks after the table, and how much it has left lying about
SELECT current_setting('autovacuum') = 'off' OR coalesce(bool_or(EXISTS (
           SELECT FROM pg_options_to_table(c.reloptions) o
            WHERE o.option_name = 'autovacuum_enabled' AND NOT o.option_value::boolean)), false) AS is_off,
       coalesce(sum(s.n_dead_tup), 0)::bigint AS dead, coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint AS live
  FROM pg_class c LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid WHERE {leaves}

-- triggers_on_update --
-- The user's, as far as they fire whatever is written. One that names its columns does not heed ours
SELECT t.tgname AS name FROM pg_trigger t
 WHERE t.tgrelid = to_regclass(%(table)s) AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
   AND t.tgtype & 16 <> 0 AND coalesce(array_length(t.tgattr, 1), 0) = 0 AND t.tgname NOT LIKE '~reembed%%'
 ORDER BY t.tgname

-- has_policies --
-- Whether row-level security is on, whoever it is for
SELECT c.relrowsecurity AS has FROM pg_class c WHERE c.oid = to_regclass(%(table)s)

-- publications --
-- Those that send all columns of the table, or of its partitions, and so those that are to come
SELECT DISTINCT p.pubname AS name
  FROM pg_publication_tables p
  JOIN pg_namespace n ON n.nspname = p.schemaname
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
 WHERE (c.oid = to_regclass(%(table)s) OR c.oid IN (SELECT t.relid FROM pg_partition_tree(to_regclass(%(table)s)) t))
   -- Before PostgreSQL 15 nobody could choose columns
   AND coalesce(jsonb_array_length(to_jsonb(p) -> 'attnames') >= (
           SELECT count(*) FROM pg_attribute a
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''), true)
 ORDER BY 1

-- idle_slots --
-- Replication slots that keep the log for nobody
SELECT s.slot_name AS name FROM pg_replication_slots s
 WHERE NOT s.active AND NOT s.temporary AND s.wal_status IS DISTINCT FROM 'lost' ORDER BY 1

-- describe_replicas --
-- Who follows the server's log, and whether it can be archived
SELECT (SELECT count(*) FROM pg_stat_replication) AS replicas,
       current_setting('archive_mode') <> 'off'
           AND coalesce((SELECT a.last_failed_time > coalesce(a.last_archived_time, '-infinity') FROM pg_stat_archiver a),
                        false) AS archive_fails

-- slot_limit --
-- How much of the log a slot may keep; NULL where there is no slot, or no limit
SELECT CASE WHEN EXISTS (SELECT FROM pg_replication_slots) AND current_setting('max_slot_wal_keep_size') <> '-1'
            THEN pg_size_bytes(current_setting('max_slot_wal_keep_size')) END AS bytes

-- ledger_rights --
-- Whether this role may make the ledger where there is none, and write to it where there is
SELECT current_user AS role, current_database() AS database, n.oid IS NOT NULL AS stands,
       has_database_privilege(current_database(), 'CREATE') AS may_install,
       n.oid IS NULL OR has_schema_privilege(n.oid, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE')
           AND (SELECT bool_and(has_table_privilege(c.oid, p.name))
                  FROM pg_class c CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p (name)
                 WHERE c.relnamespace = n.oid AND c.relkind = 'r') AS may_write
  FROM (VALUES (1)) always LEFT JOIN pg_namespace n ON n.nspname = 'reembed'

-- describe_table --
-- The user's table, as the catalog has it; no row where there is none. To alter it is to alter its partitions, and an
-- index of theirs is made in their schema
SELECT n.nspname AS schema, c.relname AS name, c.relkind AS kind, greatest(c.reltuples, 0)::bigint AS estimated_rows,
       row_security_active(c.oid) AS hides_rows,
       EXISTS (SELECT FROM pg_partition_tree(c.oid) p WHERE NOT p.isleaf AND p.level > 0) AS nested,
       has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'UPDATE') AS may_write,
       pg_has_role(c.relowner, 'USAGE') AND coalesce((SELECT bool_and(pg_has_role(l.relowner, 'USAGE'))
           FROM pg_partition_tree(c.oid) p JOIN pg_class l ON l.oid = p.relid), true) AS may_alter,
       has_schema_privilege(n.oid, 'CREATE') AND coalesce((SELECT bool_and(has_schema_privilege(l.relnamespace, 'CREATE'))
           FROM pg_partition_tree(c.oid) p JOIN pg_class l ON l.oid = p.relid), true) AS may_create
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = to_regclass(%(table)s)

-- describe_columns --
-- Its columns, with the base type of each and the width of a vector
SELECT a.attname AS name, t.typname AS type, a.atttypmod AS width, a.attnotnull AS not_null,
       a.attgenerated <> '' AS generated
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
 WHERE a.attrelid = to_regclass(%(table)s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum

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
SELECT c.relname AS name, i.indisvalid AS valid, am.amname AS method,
       (SELECT o.option_value::integer FROM pg_options_to_table(c.reloptions) o WHERE o.option_name = 'lists') AS lists
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

-- create_companion --
-- The vectors' own table. Whoever deletes a document, or gives it another key, need not know of it
CREATE TABLE IF NOT EXISTS {companion} (
    {id} {id_type} PRIMARY KEY REFERENCES {table} ({id}) ON DELETE CASCADE ON UPDATE CASCADE,
    {new} vector({dimensions}),
    {new_model} smallint,
    {new_hash} uuid,
    {old_stale} boolean)

-- grant_schema --
-- Whoever may search the documents may read the flag: nobody's searches fail once there is one
GRANT USAGE ON SCHEMA reembed TO {grantees}

-- grant_flag --
-- The flag, and the models that queries are embedded with
GRANT SELECT ON reembed.flags, reembed.models TO {grantees}

-- grant_counts --
-- Where a service adds how many searches it made, and how long they took
GRANT SELECT, INSERT, UPDATE ON reembed.searches, reembed.shadows TO {grantees}

-- grant --
-- Whoever may search the documents may search their new vectors, and whoever may change them may write these
GRANT {privileges} ON {companion} TO {grantees}

-- grantees --
-- The roles that have a privilege on the whole table, beside its owner; an empty name is everybody
SELECT DISTINCT CASE WHEN a.grantee = 0 THEN '' ELSE pg_get_userbyid(a.grantee) END AS name
  FROM pg_class c, aclexplode(c.relacl) a
 WHERE c.oid = to_regclass(%(table)s) AND a.privilege_type = %(privilege)s AND a.grantee <> c.relowner
 ORDER BY 1

-- table_names --
-- Tables that DOCUMENTS_TABLE could mean; those that the search path finds need no schema
SELECT CASE WHEN NOT pg_table_is_visible(c.oid) THEN n.nspname END AS schema, c.relname AS name
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
   AND n.nspname NOT IN ('information_schema', 'reembed') AND NOT starts_with(n.nspname, 'pg_')
 ORDER BY schema NULLS FIRST, name

-- column_type --
-- A column's type as it has to be written down again, with its collation
SELECT format_type(a.atttypid, a.atttypmod)
       || coalesce((SELECT format(' COLLATE %%I.%%I', s.nspname, l.collname)
                      FROM pg_collation l JOIN pg_namespace s ON s.oid = l.collnamespace
                     WHERE l.oid = a.attcollation AND l.collname <> 'default'), '') AS definition
  FROM pg_attribute a WHERE a.attrelid = to_regclass(%(table)s) AND a.attname = %(column)s

-- create_companion_function --
-- Sees to it that every document with text that was written since `start` has a row in the companion, and that no
-- vector of an earlier text counts as fresh. Runs with its owner's rights, because an application need have none on the
-- companion. A vector is left alone if its hash says that it was made from this very text
CREATE OR REPLACE FUNCTION {trigger_function}() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    _same_text boolean := TG_OP = 'UPDATE' AND OLD.{content} IS NOT DISTINCT FROM NEW.{content};
    _wanting boolean := {without_old};
BEGIN
    IF TG_OP = 'DELETE' THEN
        DELETE FROM {companion} n WHERE n.{id} = OLD.{id};
    ELSIF _same_text AND OLD.{id} = NEW.{id} THEN
        -- The old vector was written
        UPDATE {companion} n SET {old_stale} = _wanting
         WHERE n.{id} = NEW.{id} AND n.{old_stale} IS DISTINCT FROM _wanting;
    ELSIF NEW.{content} <> '' THEN
        INSERT INTO {companion} AS n ({id}, {old_stale}) VALUES (NEW.{id}, _wanting)
        ON CONFLICT ({id}) DO UPDATE
           SET {new_model} = CASE WHEN n.{new_hash} = md5(NEW.{content})::uuid THEN n.{new_model} END,
               {old_stale} = CASE WHEN _same_text THEN n.{old_stale} ELSE _wanting END;
    ELSE
        DELETE FROM {companion} n WHERE n.{id} = NEW.{id};
    END IF;
    RETURN NULL;
END $$

-- without_old --
-- Fragment: whether a row that was just written has no old vector of its text; NULL where it has, as the index wants it.
-- Compared as bytes, like everywhere
CASE WHEN NEW.{old} IS NULL
       OR TG_OP = 'UPDATE' AND OLD.{content} IS DISTINCT FROM NEW.{content}
          AND record_image_eq(ROW(OLD.{old}), ROW(NEW.{old})) THEN true END

-- create_companion_trigger --
-- AFTER, when the document is as it will be stored. No column list: a text can change without being named in SET
CREATE TRIGGER {trigger} AFTER UPDATE ON {table}
    FOR EACH ROW WHEN (OLD.{content} IS DISTINCT FROM NEW.{content} OR OLD.{id} IS DISTINCT FROM NEW.{id})
    EXECUTE FUNCTION {trigger_function}()

-- create_companion_insert_trigger --
-- A new document is pending from its first moment, and found as such by an index
CREATE TRIGGER {insert_trigger} AFTER INSERT ON {table}
    FOR EACH ROW WHEN (NEW.{content} <> '') EXECUTE FUNCTION {trigger_function}()

-- drop_delete_trigger --
-- Comes and goes with the others
DROP TRIGGER IF EXISTS {delete_trigger} ON {table}

-- create_delete_trigger --
-- Where the foreign key does not cascade: under replication, and when a new key moves a document into another partition.
-- There the document is new, and the cascade must not find its row under the old key
CREATE TRIGGER {delete_trigger} AFTER DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION {trigger_function}()

-- enable_delete_trigger --
-- Also under logical replication
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {delete_trigger}

-- create_companion_old_trigger --
-- An old vector that was written, for a text that is as it was
CREATE TRIGGER {old_trigger} AFTER UPDATE OF {old} ON {table}
    FOR EACH ROW WHEN (OLD.{content} IS NOT DISTINCT FROM NEW.{content}
                       AND NOT record_image_eq(ROW(OLD.{old}), ROW(NEW.{old})))
    EXECUTE FUNCTION {trigger_function}()

-- add_home --
-- The place of the old column, for the vectors that come home; catalog changes only
ALTER TABLE {table} ADD COLUMN {old} vector({dimensions}), ADD COLUMN {home_model} smallint, ADD COLUMN {home_hash} uuid

-- create_home_function --
-- While vectors come home, whatever changes in the companion is brought along at once
CREATE OR REPLACE FUNCTION {home_function}() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        UPDATE {table} d SET {old} = NULL, {home_model} = NULL, {home_hash} = NULL WHERE d.{id} = OLD.{id};
    ELSE
        UPDATE {table} d SET {old} = NEW.{new}, {home_model} = NEW.{new_model}, {home_hash} = NEW.{new_hash}
         WHERE d.{id} = NEW.{id};
    END IF;
    RETURN NULL;
END $$

-- create_home_trigger --
-- Goes with the companion
CREATE TRIGGER {home_trigger} AFTER INSERT OR UPDATE OR DELETE ON {companion}
    FOR EACH ROW EXECUTE FUNCTION {home_function}()

-- enable_home_trigger --
-- Also under logical replication
ALTER TABLE {companion} ENABLE ALWAYS TRIGGER {home_trigger}

-- lock_away --
-- The next documents whose vector is not home, locked
SELECT d.{id} AS id FROM {table} d JOIN {companion} n ON n.{id} = d.{id}
 WHERE {above} AND (d.{home_model}, d.{home_hash}) IS DISTINCT FROM (n.{new_model}, n.{new_hash})
 ORDER BY d.{id} LIMIT %(limit)s FOR NO KEY UPDATE OF d

-- above --
-- Fragment: those behind the last one that came home
d.{id} > %(after)s::{key_type}

-- move_home --
-- Their vectors come home
UPDATE {table} d SET {old} = n.{new}, {home_model} = n.{new_model}, {home_hash} = n.{new_hash}
  FROM {companion} n WHERE n.{id} = d.{id} AND d.{id} = ANY (%(ids)s::{key_type}[])

-- drop_home_function --
-- Where the vectors were coming home
DROP FUNCTION IF EXISTS {home_function}()

-- try_lock_cleanup --
-- One process at a time brings vectors home; the session's end frees the lock, however it ends
SELECT pg_try_advisory_lock(hashtextextended('reembed.cleanup', %(migration_id)s)) AS locked

-- set_home_index --
-- The old column's index is about to go; its name is not
UPDATE reembed.migrations SET home_index = %(name)s WHERE id = %(migration_id)s

-- drop_companion --
-- With its indexes and the foreign key
DROP TABLE IF EXISTS {companion}

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

-- drop_insert_trigger --
-- Comes and goes with the others
DROP TRIGGER IF EXISTS {insert_trigger} ON {table}

-- create_insert_trigger --
-- A row that is copied with its vector, but not with its text
CREATE TRIGGER {insert_trigger} BEFORE INSERT ON {table}
    FOR EACH ROW WHEN (NEW.{new_model} IS NOT NULL) EXECUTE FUNCTION {trigger_function}()

-- enable_insert_trigger --
-- Also under logical replication
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {insert_trigger}

-- count_triggers --
-- Those that stand on the documents table and fire whatever the role of the session
SELECT count(*) AS standing FROM pg_trigger
 WHERE tgrelid = %(table)s::regclass AND tgname LIKE '~reembed%%' AND tgenabled = 'A'

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

-- create_companion_pending_index --
-- The same on the companion, which has no rows for documents without text
CREATE INDEX {concurrently} {index_name} ON {only} {table} ({id}) WHERE {new_model} IS DISTINCT FROM {model}

-- create_companion_old_pending_index --
-- The same on the companion, whose triggers note a missing old vector as well
CREATE INDEX {concurrently} {index_name} ON {only} {table} ({id}) WHERE {old_stale}

-- take_time --
-- A role's statement_timeout is meant for queries, not for scans and building an index
SELECT set_config('statement_timeout', '0', false)

-- set_for_session --
-- What a build needs, on a connection that is ours alone; NULL gives back what role and database have
SELECT set_config(%(name)s, %(value)s, false)

-- server_memory --
-- In bytes
SELECT pg_size_bytes(current_setting('maintenance_work_mem')) AS maintenance_work_mem,
       pg_size_bytes(current_setting('shared_buffers')) AS shared_buffers

-- index_progress --
-- How far the index is that is being built on one of the tables, or on a partition of it. No phase: another role builds
-- it, and ours may not look
SELECT coalesce(c.relname, '') AS index, regexp_replace(p.phase, '^(building index|index validation): ', '') AS phase,
       -- pgvector counts tuples where it knows how many there are, and PostgreSQL the table's blocks
       CASE WHEN p.lockers_total > 0 THEN NULL
            WHEN p.tuples_total > 0 THEN least(100, 100.0::float8 * p.tuples_done / p.tuples_total)
            WHEN p.blocks_total > 0 THEN least(100, 100.0::float8 * p.blocks_done / p.blocks_total) END AS percent,
       nullif(p.current_locker_pid, 0)::integer AS held_up_by
  FROM pg_stat_progress_create_index p LEFT JOIN pg_class c ON c.oid = p.index_relid
 WHERE p.datname = current_database() AND p.phase IS NOT NULL
   AND EXISTS (SELECT FROM unnest(%(tables)s::text[]) t (name)
                WHERE p.relid = to_regclass(t.name)
                   OR p.relid IN (SELECT leaf.relid FROM pg_partition_tree(to_regclass(t.name)) leaf))
 LIMIT 1

-- cancel_build --
-- Of ours alone, and only where our role may
SELECT pg_cancel_backend(p.pid)
  FROM pg_stat_progress_create_index p JOIN pg_stat_activity a ON a.pid = p.pid
 WHERE p.datname = current_database() AND a.application_name LIKE 'reembed %%' AND pg_has_role(a.usesysid, 'MEMBER')
   AND EXISTS (SELECT FROM unnest(%(tables)s::text[]) t (name)
                WHERE p.relid = to_regclass(t.name)
                   OR p.relid IN (SELECT leaf.relid FROM pg_partition_tree(to_regclass(t.name)) leaf))

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
SELECT d.{id}::text AS id, {v}.{new_hash} AS content_hash, d.{old}::vector AS old, {v}.{new} AS new, {slice} AS slice
  FROM {table} d TABLESAMPLE {sampling} ({percent}) REPEATABLE (%(seed)s) {joined}
 WHERE {v}.{new_model} = {model} AND {v}.{old_stale} IS NOT TRUE
   AND vector_norm(d.{old}::vector) > 0 AND vector_norm({v}.{new}) > 0
 ORDER BY md5(d.{id}::text) LIMIT %(limit)s

-- nearest --
-- The nearest documents of a query vector in one column; the expression is the indexed one
SELECT d.{id}::text AS id, {v}.{new_hash} AS content_hash, {similarity} AS similarity
  FROM {table} d {joined}
 WHERE {column} IS NOT NULL
 ORDER BY {distance} LIMIT %(limit)s

-- nearest_exactly --
-- The same by no index: every row of a share of the table is looked at
SELECT d.{id}::text AS id, {v}.{new_hash} AS content_hash, {similarity} AS similarity
  FROM {table} d TABLESAMPLE SYSTEM ({percent}) REPEATABLE (42) {joined}
 WHERE {column} IS NOT NULL
 ORDER BY {distance} LIMIT %(limit)s

-- setting_in_use --
-- A setting of pgvector as this role has it; null before the extension is loaded, where nobody set it
SELECT current_setting(%(name)s, true) AS value

-- search --
-- The nearest documents by the flag, from the table or from its companion
SELECT d.{id} AS id, d.{content} AS content, {similarity} AS similarity
  FROM {table} d {searched}
 WHERE {column} IS NOT NULL AND {unchanged} AND {filter}
 ORDER BY {distance} LIMIT {limit}

-- searched --
-- Fragment: the companion. Its key has another name here, so that a caller's filter may say `id`
JOIN {companion} n (reembed_key) ON n.reembed_key = d.{id}

-- filter --
-- Fragment: what a caller wants besides; a comment at its end ends there
(
{where}
)

-- unchanged --
-- Fragment: column names mean what they meant when the flag was read
%(reembed_era)s = reembed.era(%(reembed_schema)s, %(reembed_name)s)

-- still_without_ledger --
-- Fragment: the same where there was no ledger when somebody looked for the flag
to_regclass('reembed.migrations') IS NULL

-- set_locally --
-- What a caller wants of this search alone
SELECT set_config(s.name, s.value, true) FROM unnest(%(names)s::text[], %(values)s::text[]) AS s(name, value)

-- describe_pages --
-- How full the table's pages are, over all its partitions, by the last ANALYZE
SELECT coalesce(sum(greatest(c.reltuples, 0)), 0)::float8 AS rows, coalesce(sum(c.relpages), 0)::bigint AS pages,
       coalesce(avg((SELECT sum(s.avg_width * (1 - s.null_frac)) FROM pg_stats s
                      WHERE s.schemaname = n.nspname AND s.tablename = c.relname AND NOT s.inherited)), 0)::float8
           AS row_bytes,
       current_setting('block_size')::integer AS page_bytes
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {leaves}

-- measured_rows --
-- A few documents that nobody else is at
SELECT d.{id} AS id FROM {table} d ORDER BY d.{id} LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED

-- create_measured --
-- A companion for the length of a transaction. Without its foreign key, which would lock the documents table
CREATE TABLE {measured} ({id} {id_type} PRIMARY KEY, {new} vector, {new_model} smallint, {new_hash} uuid)

-- create_beside --
-- What a column's vectors would take, for the length of a transaction
CREATE TABLE {beside} ({new} vector, {new_model} smallint, {new_hash} uuid)

-- measure_companion --
-- As a batch is written to the companion
WITH unchanged AS MATERIALIZED (
    SELECT d.{id} AS id, v.vector, md5(d.{content})::uuid AS content_hash
      FROM unnest(%(ids)s::{key_type}[], %(vectors)s::vector[]) AS v(id, vector) JOIN {table} d ON d.{id} = v.id
     ORDER BY d.{id} FOR SHARE OF d
)
INSERT INTO {measured} ({id}, {new}, {new_model}, {new_hash})
SELECT u.id, u.vector, 0, u.content_hash FROM unchanged u ON CONFLICT ({id}) DO NOTHING

-- measure_column --
-- As a batch is written to a column: a new version of each row, and its vector
WITH written AS (
    UPDATE {table} d SET {old} = d.{old}
      FROM unnest(%(ids)s::{key_type}[], %(vectors)s::vector[]) AS v(id, vector)
     WHERE d.{id} = v.id
    RETURNING v.vector, md5(d.{content})::uuid AS content_hash
)
INSERT INTO {beside} ({new}, {new_model}, {new_hash}) SELECT w.vector, 0, w.content_hash FROM written w
