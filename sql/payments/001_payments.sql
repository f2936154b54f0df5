-- 001_payments.sql: what was paid for an order, in which attempts, and what was given back.

-- Where a payment may go.  What is not listed never happens: no state goes back to an earlier one
-- but by a new attempt (to pending).  Money may still come for a canceled payment; it is refunded.
CREATE TABLE payments_transition (
  from_status text NOT NULL,
  to_status   text NOT NULL,
  PRIMARY KEY (from_status, to_status)
);
INSERT INTO payments_transition (from_status, to_status) VALUES
  ('pending',         'requires_action'), ('pending',         'processing'),
  ('pending',         'succeeded'),       ('pending',         'failed'),
  ('pending',         'canceled'),        ('pending',         'unknown'),
  ('unknown',         'requires_action'), ('unknown',         'processing'),
  ('unknown',         'succeeded'),       ('unknown',         'failed'),
  ('unknown',         'canceled'),
  ('requires_action', 'pending'),         ('requires_action', 'processing'),
  ('requires_action', 'succeeded'),       ('requires_action', 'failed'),
  ('requires_action', 'canceled'),
  ('processing',      'succeeded'),       ('processing',      'failed'),
  ('processing',      'canceled'),
  ('failed',          'pending'),         ('failed',          'succeeded'),
  ('failed',          'canceled'),
  ('canceled',        'succeeded');

INSERT INTO event_subscriber (type, subscriber) VALUES ('payment.updated', 'orders');

-- One for each order, one PaymentIntent (provider_ref) for each.  Amounts in minor units.  A row
-- without a user is a tombstone: the order was cancelled before anybody tried to pay.
CREATE TABLE payments_transaction (
  id               bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- In the keys and the metadata shown to Stripe: a restored database or a second shop at the same
  -- account may have the same ids.
  uuid             uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT payment_uuid_taken UNIQUE,
  order_id         bigint      NOT NULL CONSTRAINT payment_exists UNIQUE,
  user_id          bigint,
  status           text        NOT NULL DEFAULT 'pending'
                               CONSTRAINT payment_status_unknown
                               CHECK (status IN ('pending', 'requires_action', 'processing', 'succeeded',
                                                 'failed', 'canceled', 'unknown')),
  amount           bigint      NOT NULL DEFAULT 0,
  currency         text        CONSTRAINT payment_currency_malformed CHECK (currency ~ '^[A-Z]{3}$'),
  captured         bigint      NOT NULL DEFAULT 0,
  refunded         bigint      NOT NULL DEFAULT 0,
  refund_pending   bigint      NOT NULL DEFAULT 0,
  provider_ref     text        CONSTRAINT provider_ref_taken UNIQUE,
  failure_code     text,
  failure_message  text,
  cancel_requested boolean     NOT NULL DEFAULT false, -- whatever still comes goes back
  version          bigint      NOT NULL DEFAULT 1,
  created_at       timestamptz NOT NULL DEFAULT now(),
  updated_at       timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT captured_exceeds_amount CHECK (captured BETWEEN 0 AND amount),
  CONSTRAINT refund_exceeds_captured CHECK (refunded >= 0 AND refund_pending >= 0
                                            AND refunded + refund_pending <= captured),
  CONSTRAINT captured_unless_succeeded CHECK ((status = 'succeeded') = (captured > 0)),
  CONSTRAINT payment_incomplete CHECK (CASE WHEN user_id IS NULL THEN status = 'canceled' AND amount = 0
                                            ELSE amount > 0 AND currency IS NOT NULL END)
);
CREATE INDEX ON payments_transaction (user_id, id DESC);
CREATE INDEX payment_cancel_requested ON payments_transaction (order_id)
 WHERE cancel_requested AND status IN ('failed', 'requires_action');

-- Each decision: of the customer to pay (create, confirm), or of the order to cancel the intent.
-- It is committed before Stripe is called, and repeated under the same key with parameters that
-- are made from these columns alone.
CREATE TABLE payments_attempt (
  id                bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  transaction_id    bigint      NOT NULL REFERENCES payments_transaction,
  number            integer     NOT NULL,
  operation         text        NOT NULL CONSTRAINT attempt_operation_unknown
                                CHECK (operation IN ('create', 'confirm', 'cancel')),
  request_key       text, -- who asked, by their own key; null once nothing came of it
  stripe_key        text        NOT NULL CONSTRAINT stripe_key_taken UNIQUE,
  payment_method    text,
  return_url        text,
  outcome           text        NOT NULL DEFAULT 'pending' CONSTRAINT attempt_outcome_unknown
                                CHECK (outcome IN ('pending', 'succeeded', 'requires_action', 'processing',
                                                   'failed', 'unknown', 'canceled', 'abandoned')),
  failure_code      text,
  decline_code      text,
  failure_message   text,
  stripe_request_id text,
  tries             integer     NOT NULL DEFAULT 0,
  claimed_at        timestamptz NOT NULL DEFAULT now(), -- by who holds its lock (take_work)
  due_at            timestamptz NOT NULL DEFAULT now() + interval '2 seconds',
  created_at        timestamptz NOT NULL DEFAULT now(),
  updated_at        timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT attempt_number_taken UNIQUE (transaction_id, number),
  CONSTRAINT request_key_taken UNIQUE (transaction_id, request_key),
  CONSTRAINT attempt_without_method CHECK ((operation = 'cancel') = (payment_method IS NULL))
);
-- While one is in flight there is no other, and of all only one takes the money.
CREATE UNIQUE INDEX payment_in_progress ON payments_attempt (transaction_id)
 WHERE outcome IN ('pending', 'unknown', 'processing');
CREATE UNIQUE INDEX payment_charged_twice ON payments_attempt (transaction_id)
 WHERE outcome = 'succeeded';
CREATE INDEX attempt_due ON payments_attempt (due_at)
 WHERE outcome IN ('pending', 'unknown', 'processing', 'requires_action');

-- provider_ref is null until Stripe has answered.  One without a number of ours was made in
-- Stripe's dashboard.
CREATE TABLE payments_refund (
  id                bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  transaction_id    bigint      NOT NULL REFERENCES payments_transaction,
  number            integer,
  request_key       text,
  stripe_key        text        CONSTRAINT refund_stripe_key_taken UNIQUE,
  amount            bigint      NOT NULL CONSTRAINT refund_not_positive CHECK (amount > 0),
  status            text        NOT NULL DEFAULT 'pending' CONSTRAINT refund_status_unknown
                                CHECK (status IN ('pending', 'succeeded', 'failed', 'canceled')),
  reason            text,
  provider_ref      text        CONSTRAINT refund_provider_ref_taken UNIQUE,
  failure_reason    text,
  stripe_request_id text,
  tries             integer     NOT NULL DEFAULT 0,
  claimed_at        timestamptz NOT NULL DEFAULT now(),
  due_at            timestamptz NOT NULL DEFAULT now() + interval '2 seconds',
  created_at        timestamptz NOT NULL DEFAULT now(),
  updated_at        timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT refund_number_taken UNIQUE (transaction_id, number),
  CONSTRAINT refund_request_key_taken UNIQUE (transaction_id, request_key),
  CONSTRAINT refund_without_key CHECK ((number IS NULL) = (stripe_key IS NULL))
);
CREATE INDEX refund_due ON payments_refund (due_at) WHERE status = 'pending';

-- Inbox of Stripe's events; the id is written in the transaction of the effect.
CREATE TABLE payments_stripeevent (
  id             text        PRIMARY KEY,
  type           text        NOT NULL,
  object_ref     text,
  api_version    text,
  transaction_id bigint      REFERENCES payments_transaction,
  effect         text        NOT NULL CONSTRAINT stripe_event_effect_unknown
                             CHECK (effect IN ('applied', 'nothing', 'unmatched', 'ignored',
                                               'mismatch', 'alarm')), -- the last two: somebody has to look
  -- Of a refund or a dispute whose intent nobody knows (yet): what is to be applied when it is paid.
  intent         text,
  object         jsonb,
  minor          bigint,
  created_at     timestamptz NOT NULL,
  received_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX stripe_event_alarm ON payments_stripeevent (transaction_id) WHERE effect IN ('mismatch', 'alarm');
CREATE INDEX stripe_event_unmatched ON payments_stripeevent (intent) WHERE effect = 'unmatched';

CREATE TABLE payments_history (
  id             bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  transaction_id bigint      NOT NULL REFERENCES payments_transaction,
  version        bigint      NOT NULL,
  from_status    text,
  to_status      text        NOT NULL,
  at             timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT payment_version_taken UNIQUE (transaction_id, version)
);

CREATE FUNCTION public_status(status text, captured bigint, refunded bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN status <> 'succeeded' OR refunded = 0 THEN status
              WHEN refunded < captured THEN 'partially_refunded' ELSE 'refunded' END
$$;

-- Whatever changes a payment, these see to it that it was allowed, is counted and is told.
CREATE FUNCTION check_payment_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  IF NEW IS NOT DISTINCT FROM OLD THEN
    RETURN NULL;
  END IF;
  IF NEW.status <> OLD.status AND NOT EXISTS
     (SELECT FROM payments_transition t WHERE (t.from_status, t.to_status) = (OLD.status, NEW.status)) THEN
    PERFORM problem(409, 'invalid_transition', jsonb_build_object('from', OLD.status, 'to', NEW.status));
  END IF;
  NEW.version := OLD.version + 1;
  NEW.updated_at := now();
  RETURN NEW;
END
$$;
CREATE TRIGGER check_payment_change BEFORE UPDATE ON payments_transaction
  FOR EACH ROW EXECUTE FUNCTION check_payment_change();

CREATE FUNCTION tell_payment_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' OR NEW.status <> OLD.status THEN
    INSERT INTO payments_history (transaction_id, version, from_status, to_status)
    VALUES (NEW.id, NEW.version, CASE TG_OP WHEN 'UPDATE' THEN OLD.status END, NEW.status);
  END IF;
  IF NEW.user_id IS NOT NULL THEN
    PERFORM emit('payment.updated', NEW.order_id, NEW.version, jsonb_build_object(
      'order_id', NEW.order_id, 'payment_id', NEW.id, 'amount', NEW.amount, 'currency', NEW.currency,
      'status', public_status(NEW.status, NEW.captured, NEW.refunded),
      'captured', NEW.captured, 'refunded', NEW.refunded));
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER tell_payment_change AFTER INSERT OR UPDATE ON payments_transaction
  FOR EACH ROW EXECUTE FUNCTION tell_payment_change();

CREATE FUNCTION keep_history() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM problem(409, 'history_is_kept');
  RETURN NULL;
END
$$;
CREATE TRIGGER keep_history BEFORE UPDATE OR DELETE ON payments_history
  FOR EACH ROW EXECUTE FUNCTION keep_history();

-- The payment as its owner sees it.  Staff see alerts with it: what Stripe told of it and only people
-- can act on, such as a dispute, a second payment, money that does not agree with ours.
CREATE VIEW payment_entry AS
SELECT t.id, t.order_id, t.user_id, json_build_object(
         'id', t.id,
         'order_id', t.order_id,
         'status', public_status(t.status, t.captured, t.refunded),
         'amount', money(t.amount, t.currency),
         'currency', t.currency,
         'captured', money(t.captured, t.currency),
         'refunded', money(t.refunded, t.currency),
         'provider', 'stripe',
         'provider_ref', t.provider_ref,
         'failure_code', t.failure_code,
         'failure_message', t.failure_message,
         'refunds', coalesce((SELECT json_agg(json_build_object(
                                'id', r.id, 'amount', money(r.amount, t.currency), 'status', r.status,
                                'reason', r.reason, 'created_at', wire_time(r.created_at)) ORDER BY r.id)
                                FROM payments_refund r WHERE r.transaction_id = t.id), '[]'),
         'created_at', wire_time(t.created_at),
         'updated_at', wire_time(t.updated_at)) AS payment,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('type', e.type, 'ref', e.object_ref,
                                                     'at', wire_time(e.created_at)) ORDER BY e.received_at, e.id), '[]')
          FROM payments_stripeevent e
         WHERE e.transaction_id = t.id AND e.effect IN ('mismatch', 'alarm')) AS alerts
  FROM payments_transaction t
 WHERE t.user_id IS NOT NULL;

-- Events that the caller may apply before they are delivered to it.
CREATE FUNCTION waiting_events(p_order_id bigint) RETURNS json
LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (SELECT coalesce(json_agg(json_build_object(
                   'event_id', o.event_id, 'type', o.type, 'aggregate_id', o.aggregate_id,
                   'version', o.version, 'payload', o.payload) ORDER BY o.id), '[]')
            FROM event_outbox o
           WHERE o.aggregate_id = p_order_id AND o.subscriber = 'orders' AND o.delivered_at IS NULL);
END
$$;

-- Whoever talks to Stripe about an attempt or a refund holds this lock on its own connection, so
-- that a killed worker gives it back at once.  A claim ends after a minute all the same: longer
-- than a request lives.
CREATE FUNCTION work_lock(kind text, id bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$ SELECT hashtextextended(kind || ':' || id, 7) $$;

CREATE FUNCTION take_work(p_kind text, p_id bigint, p_claimed_at timestamptz) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  RETURN pg_try_advisory_lock(work_lock(p_kind, p_id)) OR p_claimed_at < now() - interval '60 seconds';
END
$$;

-- When to ask again about what is still open: at once, then ever more seldom, at least every
-- five minutes.
CREATE FUNCTION next_due(p_tries integer) RETURNS timestamptz
LANGUAGE sql STABLE AS $$ SELECT now() + least(2 ^ least(p_tries, 20) - 1, 300) * interval '1 second' $$;
