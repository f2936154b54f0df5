-- house.sql: the queries that the house itself runs in every service's schema.

-- name: idempotency_begin :row
SELECT state, status, headers, body
  FROM idempotency_begin(:idempotency_scope, :idempotency_key, :fingerprint);

-- name: idempotency_keep :none
-- Whoever lost the lock with the connection keeps and forgets nothing: a retry may have it, or
-- has had it and left its own answer.
UPDATE idempotency_key
   SET status = :reply_status::integer, headers = :reply_headers, body = :reply_body
 WHERE scope = :idempotency_scope AND key = :idempotency_key AND fingerprint = :fingerprint
   AND status IS NULL AND pg_try_advisory_xact_lock(idempotency_lock(scope, key));

-- name: idempotency_forget :none
DELETE FROM idempotency_key
 WHERE scope = :idempotency_scope AND key = :idempotency_key AND status IS NULL
   AND pg_try_advisory_xact_lock(idempotency_lock(scope, key));

-- name: schema_version :row
SELECT count(*) AS version FROM schema_migration;
