-- house.sql: the queries that the house itself runs in every service's schema.

-- name: idempotency_begin :row
SELECT state, status, headers, body
  FROM idempotency_begin(:idempotency_scope, :idempotency_key, :fingerprint);

-- name: idempotency_keep :none
UPDATE idempotency_key
   SET status = :reply_status::integer, headers = :reply_headers, body = :reply_body
 WHERE scope = :idempotency_scope AND key = :idempotency_key;

-- name: idempotency_forget :none
DELETE FROM idempotency_key
 WHERE scope = :idempotency_scope AND key = :idempotency_key AND status IS NULL;

-- name: idempotency_unlock :row
SELECT pg_advisory_unlock(idempotency_lock(:idempotency_scope, :idempotency_key)) AS unlocked;

-- name: schema_version :row
SELECT count(*) AS version FROM schema_migration;
