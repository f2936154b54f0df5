-- 004_settlement.sql: what is left to be finished, and Stripe's events.

-- Payments that their order does not want any more while the intent could still be paid.  A refusal
-- of Stripe's is not met with the next attempt at once.
CREATE VIEW payment_to_cancel AS
SELECT t.order_id, t.updated_at
  FROM payments_transaction t
 WHERE t.cancel_requested AND t.status IN ('failed', 'requires_action')
   AND NOT EXISTS (SELECT FROM payments_attempt a
                    WHERE a.transaction_id = t.id
                      AND (a.outcome IN ('pending', 'unknown', 'processing')
                           OR (a.operation = 'cancel' AND a.updated_at > now() - interval '1 minute')));

-- Money of a cancelled order whose refund failed: tried again, after a minute, two, four ... a day.
CREATE INDEX payment_to_return ON payments_transaction (order_id)
 WHERE cancel_requested AND captured > refunded + refund_pending;
CREATE VIEW payment_unreturned AS
SELECT t.id, t.order_id,
       t.updated_at + least(interval '1 minute' * 2 ^ least(f.failed - 1, 11), interval '1 day') AS due_at
  FROM payments_transaction t
 CROSS JOIN LATERAL (SELECT count(*) AS failed FROM payments_refund r
                      WHERE r.transaction_id = t.id AND r.status IN ('failed', 'canceled')) f
 WHERE t.cancel_requested AND t.captured > t.refunded + t.refund_pending;

CREATE VIEW payment_due AS
SELECT t.order_id, a.due_at
  FROM payments_attempt a JOIN payments_transaction t ON t.id = a.transaction_id
 WHERE a.outcome IN ('pending', 'unknown', 'processing')
    OR (a.outcome = 'requires_action' AND NOT t.cancel_requested)
UNION ALL
SELECT t.order_id, r.due_at
  FROM payments_refund r JOIN payments_transaction t ON t.id = r.transaction_id
 WHERE r.status = 'pending'
UNION ALL
SELECT c.order_id, c.updated_at FROM payment_to_cancel c
UNION ALL
SELECT u.order_id, u.due_at FROM payment_unreturned u;

-- The next thing to do for an order, claimed: 'attempt' or 'refund' with its id.  p_done lists
-- what this run has already done.
CREATE FUNCTION next_work(p_order_id bigint, p_done text, OUT kind text, OUT id bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  known  payments_transaction;
  flying payments_attempt;
  done   text[] := string_to_array(p_done, ' ');
BEGIN
  SELECT * INTO known FROM payments_transaction t WHERE t.order_id = p_order_id FOR UPDATE;
  SELECT * INTO flying FROM payments_attempt a
   WHERE a.transaction_id = known.id AND a.outcome IN ('pending', 'unknown', 'processing');
  IF flying.id IS NULL AND NOT known.cancel_requested THEN -- the customer may have done it, and nobody told us
    SELECT * INTO flying FROM payments_attempt a
     WHERE a.transaction_id = known.id AND a.outcome = 'requires_action';
  END IF;
  IF flying.id IS NOT NULL AND 'attempt' || flying.id <> ALL (done)
     AND take_work('attempt', flying.id, flying.claimed_at) THEN
    kind := 'attempt';
    id := flying.id;
    UPDATE payments_attempt a SET claimed_at = now() WHERE a.id = flying.id;
  ELSIF EXISTS (SELECT FROM payment_to_cancel c WHERE c.order_id = p_order_id) THEN
    kind := 'attempt';
    id := new_attempt(known, 'cancel');
  ELSE
    PERFORM refund_rest(u.id, 'order cancelled') FROM payment_unreturned u
      WHERE u.order_id = p_order_id AND u.due_at <= now();
    SELECT 'refund', r.id INTO kind, id FROM payments_refund r
     WHERE r.transaction_id = known.id AND r.status = 'pending' AND 'refund' || r.id <> ALL (done)
     ORDER BY r.id LIMIT 1;
  END IF;
END
$$;

-- An intent's event.  Only success and cancellation touch an attempt in flight; all else makes
-- it due, so that Stripe itself is asked.  So does a failure that may be older than the
-- attempt it would end: Stripe tells whole seconds, and by a clock of its own; p_created is null
-- where it tells no time, and then anything but the first attempt may be younger.
CREATE FUNCTION apply_intent_event(p_payment payments_transaction, p_type text, p_object jsonb,
                                   p_created timestamptz, p_minor bigint) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  latest payments_attempt;
  error  jsonb := p_object -> 'last_payment_error';
  news   text := CASE p_type WHEN 'payment_intent.succeeded' THEN 'succeeded'
                             WHEN 'payment_intent.canceled' THEN 'canceled'
                             WHEN 'payment_intent.processing' THEN 'processing'
                             WHEN 'payment_intent.requires_action' THEN 'requires_action'
                             WHEN 'payment_intent.payment_failed' THEN 'failed' END;
BEGIN
  SELECT * INTO latest FROM payments_attempt a
   WHERE a.transaction_id = p_payment.id AND a.operation <> 'cancel' ORDER BY a.number DESC LIMIT 1;
  -- Paid is paid, by whichever attempt was told of it first, be it one to cancel.
  IF news IS NULL OR p_payment.status = 'succeeded' OR NOT (is_progress(latest.outcome, news)
                          OR (news = 'canceled' AND p_payment.status = 'failed')) THEN
    RETURN 'nothing';
  END IF;
  IF news = 'succeeded' AND (p_minor, upper(p_object ->> 'currency'))
                            IS DISTINCT FROM (p_payment.amount, p_payment.currency) THEN
    RETURN 'mismatch';
  END IF;
  IF news = 'processing' AND EXISTS (SELECT FROM payments_attempt a -- an attempt to cancel
                                      WHERE a.transaction_id = p_payment.id AND a.id <> latest.id
                                        AND a.outcome IN ('pending', 'unknown', 'processing')) THEN
    RETURN 'nothing';
  END IF;
  IF news NOT IN ('succeeded', 'canceled')
     AND (latest.outcome IN ('pending', 'unknown')
          OR (p_created IS NULL AND latest.number > 1)
          OR p_created < date_trunc('second', latest.created_at)
          OR (p_created = date_trunc('second', latest.created_at)
              AND EXISTS (SELECT FROM payments_attempt a
                           WHERE a.transaction_id = p_payment.id AND a.number < latest.number
                             AND a.outcome = 'failed' AND a.updated_at >= p_created))
          OR (news = 'failed' AND latest.outcome = 'requires_action' AND latest.number > 1)) THEN
    UPDATE payments_attempt a SET due_at = now()
     WHERE a.id = latest.id AND a.outcome IN ('unknown', 'processing', 'requires_action');
    RETURN 'nothing';
  END IF;
  IF news = 'canceled' THEN -- by an attempt to cancel, or in Stripe's dashboard
    UPDATE payments_attempt a SET outcome = 'canceled', updated_at = now()
     WHERE a.transaction_id = p_payment.id AND a.outcome IN ('pending', 'unknown', 'processing', 'requires_action');
  ELSE
    UPDATE payments_attempt a
       SET outcome = news, updated_at = now(), failure_code = error ->> 'code',
           decline_code = error ->> 'decline_code', failure_message = error ->> 'message'
     WHERE a.id = latest.id;
  END IF;
  PERFORM carry_over(p_payment.id, news, p_object ->> 'id', coalesce(error ->> 'decline_code', error ->> 'code'),
                     error ->> 'message');
  RETURN 'applied';
END
$$;

-- A refund's event; one that we did not ask for becomes a row of its own, so that one told to have
-- failed is not made to succeed by what was told before and comes after.
CREATE FUNCTION apply_refund_event(p_payment payments_transaction, p_object jsonb, p_minor bigint) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  ref   text := p_object ->> 'id';
  ours  text := p_object #>> '{metadata,refund_id}';
  next  text := CASE WHEN p_object ->> 'status' IN ('succeeded', 'failed', 'canceled')
                     THEN p_object ->> 'status' ELSE 'pending' END;
  found payments_refund;
BEGIN
  SELECT * INTO found FROM payments_refund r
   WHERE r.transaction_id = p_payment.id
     AND (r.provider_ref = ref OR (r.provider_ref IS NULL AND r.id::text = ours));
  IF found.id IS NULL THEN
    IF p_payment.status <> 'succeeded' THEN
      PERFORM problem(409, 'payment_in_progress'); -- that it was paid is yet to come; Stripe tells it again
    ELSIF next IN ('failed', 'canceled') AND p_minor > 0 THEN
      INSERT INTO payments_refund (transaction_id, amount, status, reason, provider_ref, failure_reason)
      VALUES (p_payment.id, p_minor, next, p_object ->> 'reason', ref, p_object ->> 'failure_reason');
      RETURN 'applied';
    ELSIF p_payment.refund_pending > 0 AND p_payment.refunded + p_minor <= p_payment.captured
          AND p_payment.refunded + p_payment.refund_pending + p_minor > p_payment.captured THEN
      PERFORM problem(409, 'payment_in_progress'); -- one of the two will fail; Stripe tells it again
    ELSIF p_minor IS NULL OR upper(p_object ->> 'currency') <> p_payment.currency
          OR p_payment.refunded + p_payment.refund_pending + p_minor > p_payment.captured THEN
      RETURN 'mismatch';
    END IF;
    INSERT INTO payments_refund (transaction_id, amount, reason, provider_ref)
    VALUES (p_payment.id, p_minor, p_object ->> 'reason', ref) RETURNING * INTO found;
    UPDATE payments_transaction t SET refund_pending = t.refund_pending + p_minor WHERE t.id = p_payment.id;
  ELSIF found.amount IS DISTINCT FROM p_minor THEN
    RETURN 'mismatch';
  END IF;
  UPDATE payments_refund r
     SET provider_ref = ref, failure_reason = coalesce(p_object ->> 'failure_reason', r.failure_reason)
   WHERE r.id = found.id;
  RETURN CASE WHEN move_refund(found, next) THEN 'applied' ELSE 'nothing' END;
END
$$;

-- A refund that Stripe's list has, as if an event had told of it.  One for which there is no room
-- waits for what is pending.
CREATE FUNCTION adopt_refund(p_payment_id bigint, p_object jsonb, p_minor bigint) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  known payments_transaction;
BEGIN
  SELECT * INTO STRICT known FROM payments_transaction t WHERE t.id = p_payment_id FOR UPDATE;
  IF known.status <> 'succeeded' OR p_minor IS NULL
     OR (known.refunded + known.refund_pending + p_minor > known.captured
         AND NOT EXISTS (SELECT FROM payments_refund r
                          WHERE r.transaction_id = known.id AND r.provider_ref = p_object ->> 'id')) THEN
    RETURN 'nothing';
  END IF;
  RETURN apply_refund_event(known, p_object, p_minor);
END
$$;

-- An event of money that was paid before: of a refund or a dispute.
CREATE FUNCTION apply_later_event(p_payment payments_transaction, p_type text, p_object jsonb, p_minor bigint)
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  RETURN CASE WHEN p_type LIKE 'charge.dispute.%' THEN 'alarm'
              ELSE apply_refund_event(p_payment, p_object, p_minor) END;
END
$$;

-- What was told of an intent while nobody knew whose it is, as soon as it is known to be paid.
CREATE FUNCTION apply_waiting_events(p_payment_id bigint, p_intent text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  known payments_transaction;
  told  payments_stripeevent;
BEGIN
  FOR told IN SELECT * FROM payments_stripeevent e
               WHERE e.intent = p_intent AND e.effect = 'unmatched' ORDER BY e.created_at, e.id LOOP
    SELECT * INTO STRICT known FROM payments_transaction t WHERE t.id = p_payment_id;
    BEGIN
      told.effect := apply_later_event(known, told.type, told.object, told.minor);
    EXCEPTION WHEN SQLSTATE 'PT409' THEN
      told.effect := 'mismatch'; -- Stripe does not tell it again
    END;
    UPDATE payments_stripeevent e SET effect = told.effect, transaction_id = known.id WHERE e.id = told.id;
  END LOOP;
END
$$;

-- The payment that an event is of: known by its intent or, as long as it has none, by what we wrote
-- into the intent's metadata.
CREATE FUNCTION payment_of_event(p_intent text, p_object jsonb) RETURNS payments_transaction
LANGUAGE plpgsql AS $$
DECLARE
  known   payments_transaction;
  written text := p_object #>> '{metadata,payment_uuid}';
BEGIN
  SELECT * INTO known FROM payments_transaction t WHERE t.provider_ref = p_intent FOR UPDATE;
  IF NOT FOUND AND written ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN
    SELECT * INTO known FROM payments_transaction t WHERE t.uuid = written::uuid FOR UPDATE;
  END IF;
  RETURN known;
END
$$;

-- When Stripe says that it happened; null for a time that is none.
CREATE FUNCTION event_time(p_created jsonb) RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF jsonb_typeof(p_created) = 'number' AND p_created::numeric BETWEEN 1 AND 99999999999 THEN
    RETURN to_timestamp(p_created::double precision);
  END IF;
  RETURN NULL;
END
$$;

-- A signed event, whole, or as little of it as there is; one without a mode is of ours, whose
-- secret signed it.  p_minor: its amount_received or amount in our units, null if Stripe's
-- cannot be expressed.  effect: what is noted of it, null for one that was known already.  alarm:
-- what somebody should look at.
CREATE FUNCTION apply_stripe_event(p_event jsonb, p_livemode boolean, p_minor bigint, OUT effect text,
                                   OUT order_id bigint, OUT payment_id bigint, OUT alarm text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  known  payments_transaction;
  kind   text := p_event ->> 'type';
  told   jsonb := p_event #> '{data,object}';
  ref    text := CASE WHEN kind LIKE 'payment\_intent.%' THEN told ->> 'id' ELSE told ->> 'payment_intent' END;
  at     timestamptz := event_time(p_event -> 'created');
BEGIN
  INSERT INTO payments_stripeevent (id, type, object_ref, api_version, effect, created_at)
  VALUES (p_event ->> 'id', kind, told ->> 'id', p_event ->> 'api_version', 'ignored', coalesce(at, now()))
  ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  effect := 'ignored';
  IF coalesce(p_event -> 'livemode', to_jsonb(p_livemode)) <> to_jsonb(p_livemode)
     OR jsonb_typeof(told) IS DISTINCT FROM 'object' OR told ->> 'id' IS NULL OR length(ref) > 255
     OR kind !~ '^(payment_intent\.|refund\.|charge\.refund\.updated$|charge\.dispute\.)' THEN
    RETURN;
  END IF;
  PERFORM lock_intent(ref);
  known := payment_of_event(ref, told);
  IF known.id IS NULL THEN
    effect := 'unmatched';
    IF kind NOT LIKE 'payment\_intent.%' THEN -- it may be ours, and the answer that says so be lost
      UPDATE payments_stripeevent e
         SET intent = ref, object = told, minor = p_minor
       WHERE e.id = p_event ->> 'id';
    END IF;
  ELSIF known.provider_ref <> ref THEN -- not made by us: its money is not in our books
    effect := CASE kind WHEN 'payment_intent.succeeded' THEN 'alarm' ELSE 'unmatched' END;
    alarm := 'an order was paid a second time, by another intent';
  ELSIF kind LIKE 'payment\_intent.%' THEN
    effect := apply_intent_event(known, kind, told, at, p_minor);
    PERFORM keep_intent(known.id, ref);
  ELSE
    effect := apply_later_event(known, kind, told, p_minor);
    alarm := CASE WHEN effect = 'alarm' THEN 'Stripe tells of a dispute'
                  WHEN effect = 'applied' AND told ->> 'status' = 'failed' THEN 'a refund has failed' END;
  END IF;
  alarm := CASE effect WHEN 'mismatch' THEN 'Stripe tells of another amount than ours'
                       WHEN 'unmatched' THEN NULL ELSE alarm END;
  order_id := known.order_id;
  payment_id := known.id;
  UPDATE payments_stripeevent e SET effect = apply_stripe_event.effect, transaction_id = known.id
   WHERE e.id = p_event ->> 'id';
END
$$;
