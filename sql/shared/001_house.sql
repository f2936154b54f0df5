-- Migrations of sql/shared/ run in every service's schema, before its own: search_path is that
-- schema alone.  What all five services keep besides their own tables.

-- Number of decimals of a currency on the wire and in minor units (ISO 4217).  currencies.def
-- has the same list; a test compares them.
CREATE FUNCTION decimals(currency text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE
    WHEN currency IN ('BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX',
                      'UYI', 'VND', 'VUV', 'XAF', 'XOF', 'XPF') THEN 0
    WHEN currency IN ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') THEN 3
    WHEN currency IN ('CLF', 'UYW') THEN 4
    ELSE 2 END
$$;

-- Stripe charges and refunds in steps of this many minor units: the last of three decimals is 0,
-- and the ariary has none there (docs.stripe.com/currencies).
CREATE FUNCTION charge_step(currency text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN currency = 'MGA' THEN 100 WHEN decimals(currency) = 3 THEN 10 ELSE 1 END
$$;

-- Minor units as the wire writes them: money(1999, 'USD') is '19.99'.  A single expression, so
-- that the planner inlines it.
CREATE FUNCTION money(minor bigint, currency text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE decimals(currency)
    WHEN 0 THEN minor::text
    WHEN 2 THEN (minor::numeric / 100)::numeric(20, 2)::text
    WHEN 3 THEN (minor::numeric / 1000)::numeric(20, 3)::text
    ELSE (minor::numeric / 10000)::numeric(20, 4)::text END
$$;

-- A time as the wire writes it, RFC 3339 in UTC.
CREATE FUNCTION wire_time(at timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;

-- Raises a problem: the SQLSTATE PTnnn is the status, the constraint's name the code, the detail
-- a JSON object of extra members.  All three reach the client, and nothing else does.
CREATE FUNCTION problem(status integer, code text, members jsonb DEFAULT '{}') RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'PT' || status, CONSTRAINT = code, DETAIL = members::text,
    MESSAGE = code;
END
$$;

-- 400 under one field.
CREATE FUNCTION invalid(field text, message text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM problem(400, 'invalid',
                  jsonb_build_object('errors', jsonb_build_object(field, jsonb_build_array(message))));
END
$$;

-- '19.99' in USD to 1999; more decimals than the currency has, zeros too, are a 400 under the
-- field.  Bodies are judged in the same words (scalar.c) where they tell their currency.
CREATE FUNCTION minor_units(amount text, currency text, field text DEFAULT 'price') RETURNS bigint
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF scale(amount::numeric) > decimals(currency) THEN
    PERFORM invalid(field, format('Ensure that there are no more than %s decimal places.',
                                  decimals(currency)));
  END IF;
  RETURN (amount::numeric * 10 ^ decimals(currency))::bigint;
END
$$;

-- Idempotency-Key (api.md section 1).  The row is committed before the work starts; whoever
-- works holds the advisory lock of its id on the connection, so a killed worker frees it at once.
-- A row without a status is work that was begun.
CREATE TABLE idempotency_key (
  scope       text        NOT NULL, -- caller, method and path
  key         text        NOT NULL,
  fingerprint text        NOT NULL, -- SHA-256 of the body's bytes
  status      integer,
  headers     text,        -- of the reply, as they were sent
  body        text,
  created_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (scope, key)
);
CREATE INDEX ON idempotency_key (created_at);

CREATE FUNCTION idempotency_lock(scope text, key text) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$ SELECT hashtextextended(scope || E'\n' || key, 42) $$;

-- state: 'run' (the caller now holds the lock), 'replay', 'reused' or 'in_use'.
CREATE FUNCTION idempotency_begin(p_scope text, p_key text, p_fingerprint text,
                                  OUT state text, OUT status integer, OUT headers text, OUT body text)
LANGUAGE plpgsql AS $$
DECLARE
  known idempotency_key;
BEGIN
  IF NOT pg_try_advisory_lock(idempotency_lock(p_scope, p_key)) THEN
    state := 'in_use';
    RETURN;
  END IF;
  DELETE FROM idempotency_key k
   WHERE k.scope = p_scope AND k.key = p_key AND k.created_at < now() - interval '24 hours';
  -- More than come in, so that old ones never pile up; last, for it must not hold what another
  -- one waits for while it waits itself.
  DELETE FROM idempotency_key k
   WHERE (k.scope, k.key) IN (SELECT o.scope, o.key FROM idempotency_key o
                               WHERE o.created_at < now() - interval '24 hours'
                               ORDER BY o.created_at LIMIT 10 FOR UPDATE SKIP LOCKED);
  INSERT INTO idempotency_key (scope, key, fingerprint) VALUES (p_scope, p_key, p_fingerprint)
  ON CONFLICT DO NOTHING;
  SELECT * INTO STRICT known FROM idempotency_key k WHERE k.scope = p_scope AND k.key = p_key;
  IF known.fingerprint <> p_fingerprint THEN
    state := 'reused';
  ELSIF known.status IS NOT NULL THEN
    state := 'replay';
    status := known.status;
    headers := known.headers;
    body := known.body;
  ELSE
    state := 'run';
    RETURN;
  END IF;
  PERFORM pg_advisory_unlock(idempotency_lock(p_scope, p_key));
END
$$;

-- Outbox: written in the transaction that causes the event, one row per subscriber, delivered in
-- order of id within an aggregate by `arnova relay` or, where the client must read its own write,
-- by the handler itself.  Subscribers are rows, so that no service names another in code.
CREATE TABLE event_subscriber (
  type       text NOT NULL,
  subscriber text NOT NULL,
  PRIMARY KEY (type, subscriber)
);

CREATE TABLE event_outbox (
  id              bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  event_id        uuid        NOT NULL, -- the same for all subscribers
  subscriber      text        NOT NULL,
  type            text        NOT NULL,
  aggregate_id    bigint      NOT NULL,
  version         bigint      NOT NULL, -- of the aggregate; a consumer ignores an older one
  payload         jsonb       NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now(),
  attempts        integer     NOT NULL DEFAULT 0,
  next_attempt_at timestamptz NOT NULL DEFAULT now(),
  delivered_at    timestamptz
);
CREATE INDEX event_outbox_waiting ON event_outbox (subscriber, aggregate_id, id) WHERE delivered_at IS NULL;
CREATE INDEX event_outbox_delivered ON event_outbox (delivered_at) WHERE delivered_at IS NOT NULL;
CREATE INDEX event_outbox_aside ON event_outbox (id) WHERE delivered_at IS NULL AND attempts >= 10;

CREATE FUNCTION emit(p_type text, p_aggregate_id bigint, p_version bigint, p_payload jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO event_outbox (event_id, subscriber, type, aggregate_id, version, payload)
  SELECT e.id, s.subscriber, p_type, p_aggregate_id, p_version, p_payload
    FROM (SELECT gen_random_uuid() AS id) e, event_subscriber s
   WHERE s.type = p_type;
  -- No NOTIFY: its commits queue up behind one lock of the whole cluster, and the relay looks
  -- four times a second anyway.
END
$$;

-- Inbox: the id of every event that took effect here, written in the transaction of the effect.
CREATE TABLE event_inbox (
  event_id    uuid        PRIMARY KEY,
  type        text        NOT NULL,
  received_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON event_inbox (received_at);

-- True the first time.
CREATE FUNCTION first_receipt(p_event_id uuid, p_type text) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO event_inbox (event_id, type) VALUES (p_event_id, p_type) ON CONFLICT DO NOTHING;
  RETURN FOUND;
END
$$;

-- What `run` was asked to finish and has not (yet).  Written and committed before the work, so that
-- an order that fails for its own sake, or kills its worker, lets the others go first: it is due
-- again after 5 seconds, 10, 20, at last every minute.  In a table of its own, for what cannot be
-- finished may not be changed either.
CREATE TABLE unfinished_run (
  order_id bigint      PRIMARY KEY,
  tries    integer     NOT NULL DEFAULT 1,
  due_at   timestamptz NOT NULL
);

CREATE FUNCTION begin_run(p_order_id bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO unfinished_run AS u (order_id, due_at) VALUES (p_order_id, now() + interval '5 seconds')
  ON CONFLICT (order_id) DO UPDATE
    SET tries = u.tries + 1, due_at = now() + least(5 * 2 ^ least(u.tries, 4), 60) * interval '1 second'
    WHERE u.due_at <= now(); -- who asks thrice at once has tried once
END
$$;

CREATE FUNCTION end_run(p_order_id bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM unfinished_run u WHERE u.order_id = p_order_id;
END
$$;
