-- events.sql: the outbox of whichever service is asked (architecture.md section 7).

-- name: list_waiting_events :row
-- All of one aggregate, whether or not the relay is at it too: the inbox takes each once.  The
-- list of subscribers is there for the index.
SELECT json_build_object('events', coalesce(json_agg(json_build_object(
         'id', o.id, 'subscriber', o.subscriber, 'attempts', o.attempts, 'body', json_build_object(
           'event_id', o.event_id, 'type', o.type, 'aggregate_id', o.aggregate_id,
           'version', o.version, 'payload', o.payload)::text) ORDER BY o.id), '[]')) AS events
  FROM (SELECT * FROM event_outbox w
         WHERE w.delivered_at IS NULL AND w.aggregate_id = :outbox_aggregate::bigint
           AND w.subscriber = ANY ('{products,orders,users,cart,payments}')
         ORDER BY w.id LIMIT 50) o;

-- name: take_events :row
-- Leases some that are due: whoever took them and dies leaves them to others after 15 seconds.
-- Of each aggregate only the oldest can be due, and any that was set aside after 10 attempts.
WITH head AS (
  SELECT h.id
    FROM unnest('{products,orders,users,cart,payments}'::text[]) AS s(subscriber)
   CROSS JOIN LATERAL (
          SELECT o.id FROM (SELECT DISTINCT ON (w.aggregate_id) w.id, w.next_attempt_at
                              FROM event_outbox w
                             WHERE w.delivered_at IS NULL AND w.attempts < 10 AND w.subscriber = s.subscriber
                             ORDER BY w.aggregate_id, w.id) o
           WHERE o.next_attempt_at <= now() LIMIT 10) h
   WHERE s.subscriber <> ALL (:outbox_away::text[])
   UNION ALL
  SELECT a.id
    FROM event_outbox a
   WHERE a.delivered_at IS NULL AND a.attempts >= 10 AND a.next_attempt_at <= now()
     AND a.subscriber <> ALL (:outbox_away::text[])
), due AS (
  -- Not "IS NULL": the index of those that wait is no help here, but looks small to the planner.
  SELECT o.id FROM event_outbox o
   WHERE o.id = ANY (ARRAY(SELECT h.id FROM head h)) AND o.next_attempt_at <= now()
     AND coalesce(o.delivered_at, 'infinity') = 'infinity'
     FOR UPDATE SKIP LOCKED
), taken AS (
  UPDATE event_outbox o SET next_attempt_at = now() + interval '15 seconds'
    FROM due WHERE o.id = due.id RETURNING o.*
)
SELECT json_build_object('events', coalesce(json_agg(json_build_object(
         'id', o.id, 'subscriber', o.subscriber, 'attempts', o.attempts, 'body', json_build_object(
           'event_id', o.event_id, 'type', o.type, 'aggregate_id', o.aggregate_id,
           'version', o.version, 'payload', o.payload)::text) ORDER BY o.id), '[]')) AS events
  FROM taken o;

-- name: settle_events :none
-- Ends the lease: delivered, to be tried again (after 0.25 s, doubled up to 15 s, once set aside
-- every minute; half of it by chance), or not tried at all.
UPDATE event_outbox o
   SET delivered_at = CASE WHEN o.id = ANY (:outbox_delivered::bigint[]) THEN now() ELSE o.delivered_at END,
       attempts = o.attempts + (o.id = ANY (:outbox_failed::bigint[]))::integer,
       next_attempt_at = CASE WHEN o.id = ANY (:outbox_failed::bigint[])
         THEN now() + (0.5 + random() / 2) * CASE WHEN o.attempts >= 9 THEN interval '1 minute'
                                             ELSE least(interval '15 seconds',
                                                        interval '0.25 seconds' * 2 ^ o.attempts) END
         ELSE now() END
 WHERE o.id = ANY (:outbox_delivered::bigint[] || :outbox_failed::bigint[] || :outbox_left::bigint[]);

-- name: forget_events :row
-- What was delivered is kept a month, what was received a year, longer than any delivery can take.
WITH sent AS (
  DELETE FROM event_outbox WHERE id IN (
    SELECT id FROM event_outbox WHERE delivered_at < now() - interval '30 days' LIMIT 1000)
  RETURNING 1
), received AS (
  DELETE FROM event_inbox WHERE event_id IN (
    SELECT event_id FROM event_inbox WHERE received_at < now() - interval '1 year' LIMIT 1000)
  RETURNING 1
)
SELECT (SELECT count(*) FROM sent) + (SELECT count(*) FROM received) AS forgotten;
