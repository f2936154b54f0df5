-- 002_attempts.sql: attempts to pay and to cancel, and what becomes of them.

-- Gives back what is left of a payment that nobody wants any more.  Each try at it gets a key.
CREATE FUNCTION refund_rest(p_transaction_id bigint, p_reason text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  known payments_transaction;
  rest  bigint;
  next  integer;
BEGIN
  SELECT * INTO STRICT known FROM payments_transaction t WHERE t.id = p_transaction_id FOR UPDATE;
  rest := known.captured - known.refunded - known.refund_pending;
  IF rest > 0 THEN
    SELECT coalesce(max(r.number), 0) + 1 INTO next FROM payments_refund r WHERE r.transaction_id = known.id;
    INSERT INTO payments_refund (transaction_id, number, stripe_key, amount, reason, due_at)
    VALUES (known.id, next, format('arnova-%s-refund-%s', known.uuid, next), rest, p_reason, now());
    UPDATE payments_transaction t SET refund_pending = t.refund_pending + rest WHERE t.id = known.id;
  END IF;
END
$$;

CREATE FUNCTION new_attempt(p_payment payments_transaction, p_operation text, p_method text DEFAULT NULL,
                            p_return_url text DEFAULT NULL, p_request_key text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  made bigint;
  next integer;
BEGIN
  SELECT coalesce(max(a.number), 0) + 1 INTO next FROM payments_attempt a WHERE a.transaction_id = p_payment.id;
  INSERT INTO payments_attempt (transaction_id, number, operation, request_key, stripe_key, payment_method, return_url)
  VALUES (p_payment.id, next, p_operation, p_request_key,
          format('arnova-%s-%s-%s', p_payment.uuid, p_operation, next), p_method, p_return_url)
  RETURNING id INTO made;
  PERFORM pg_advisory_lock(work_lock('attempt', made));
  RETURN made;
END
$$;

-- Begins an attempt or finds it again by its request key.  What is paid is not paid twice: a
-- customer who did not begin the attempt that paid is told so, a checkout is content with it.
-- fresh: nobody can have called Stripe about it yet.  is_open: call Stripe, the caller holds its
-- lock.  Without an amount it is only found again.
CREATE FUNCTION begin_attempt(p_order_id bigint, p_user_id bigint, p_amount bigint, p_currency text,
                              p_method text, p_return_url text, p_request_key text, p_is_checkout boolean,
                              OUT attempt_id bigint, OUT fresh boolean, OUT is_open boolean)
LANGUAGE plpgsql AS $$
DECLARE
  known payments_transaction;
  found payments_attempt;
BEGIN
  IF p_amount IS NOT NULL THEN
    INSERT INTO payments_transaction (order_id, user_id, amount, currency)
    VALUES (p_order_id, p_user_id, p_amount, p_currency) ON CONFLICT DO NOTHING;
  END IF;
  SELECT * INTO known FROM payments_transaction t WHERE t.order_id = p_order_id FOR UPDATE;
  SELECT * INTO found FROM payments_attempt a
   WHERE a.transaction_id = known.id AND a.request_key = p_request_key;
  IF found.id IS NULL AND p_amount IS NULL THEN
    PERFORM problem(409, 'order_not_payable');
  ELSIF (found.payment_method, found.return_url) IS DISTINCT FROM (p_method, p_return_url) AND found.id IS NOT NULL THEN
    PERFORM problem(422, 'idempotency_key_reused');
  ELSIF found.id IS NULL AND p_is_checkout AND known.status = 'succeeded' AND NOT known.cancel_requested THEN
    SELECT * INTO STRICT found FROM payments_attempt a
     WHERE a.transaction_id = known.id AND a.outcome = 'succeeded';
  END IF;
  fresh := found.id IS NULL;
  IF fresh THEN
    IF known.cancel_requested OR known.status IN ('canceled', 'succeeded')
       OR (known.user_id, known.amount, known.currency) IS DISTINCT FROM (p_user_id, p_amount, p_currency) THEN
      PERFORM problem(409, 'order_not_payable');
    END IF;
    UPDATE payments_attempt a SET outcome = 'abandoned', updated_at = now()
     WHERE a.transaction_id = known.id AND a.outcome = 'requires_action';
    attempt_id := new_attempt(known, CASE WHEN known.provider_ref IS NULL THEN 'create' ELSE 'confirm' END,
                              p_method, p_return_url, p_request_key);
    UPDATE payments_transaction t SET status = 'pending', failure_code = NULL, failure_message = NULL
     WHERE t.id = known.id AND t.status <> 'pending';
    is_open := true;
    RETURN;
  END IF;
  attempt_id := found.id;
  is_open := found.outcome IN ('pending', 'unknown');
  IF is_open AND NOT take_work('attempt', found.id, found.claimed_at) THEN
    PERFORM problem(409, 'payment_in_progress');
  END IF;
  UPDATE payments_attempt a SET claimed_at = now() WHERE a.id = found.id AND is_open;
END
$$;

-- What a call for an attempt is made of, and what is known of it.
CREATE VIEW attempt_call AS
SELECT a.id AS attempt_id, a.operation, a.stripe_key, a.payment_method, a.return_url, a.outcome,
       a.failure_code, a.decline_code, a.failure_message, t.order_id, t.id AS payment_id, t.amount,
       t.currency, t.provider_ref, t.cancel_requested, t.uuid AS payment_uuid,
       floor(extract(epoch FROM a.created_at))::bigint AS created,
       -- Stripe may forget a key once it is 24 hours old; a POST would then charge anew.
       a.created_at > now() - interval '23 hours' AS is_repeatable,
       -- What was posted may still be on its way to Stripe's lists.
       a.created_at > now() - interval '5 minutes' AS is_recent
  FROM payments_attempt a JOIN payments_transaction t ON t.id = a.transaction_id;

-- Whether news of an attempt may replace what is known of it: never back to an earlier state.
CREATE FUNCTION is_progress(p_known text, p_news text) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE p_known
    WHEN 'pending' THEN p_news <> 'pending'
    WHEN 'unknown' THEN p_news NOT IN ('pending', 'unknown')
    WHEN 'requires_action' THEN p_news IN ('processing', 'succeeded', 'failed', 'canceled')
    WHEN 'processing' THEN p_news IN ('succeeded', 'failed', 'canceled')
    WHEN 'succeeded' THEN false
    ELSE p_news = 'succeeded' END
$$;

-- Until the transaction ends nobody else says whose an intent is, nor looks that up in vain.  Always
-- taken before the payment's row.
CREATE FUNCTION lock_intent(p_intent text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('intent:' || p_intent, 7));
END
$$;

CREATE FUNCTION keep_intent(p_transaction_id bigint, p_intent text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  UPDATE payments_transaction t SET provider_ref = p_intent
   WHERE t.id = p_transaction_id AND t.provider_ref IS NULL AND p_intent IS NOT NULL;
END
$$;

-- Carries an attempt's outcome over to its payment.
CREATE FUNCTION carry_over(p_transaction_id bigint, p_outcome text, p_intent text, p_code text,
                           p_message text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  known payments_transaction;
  next  text := p_outcome;
BEGIN
  SELECT * INTO STRICT known FROM payments_transaction t WHERE t.id = p_transaction_id FOR UPDATE;
  IF next = 'failed' AND known.cancel_requested AND coalesce(known.provider_ref, p_intent) IS NULL THEN
    next := 'canceled'; -- nothing of it is at Stripe
  END IF;
  IF NOT EXISTS (SELECT FROM payments_transition t WHERE (t.from_status, t.to_status) = (known.status, next)) THEN
    PERFORM keep_intent(known.id, p_intent);
    RETURN;
  END IF;
  UPDATE payments_transaction t
     SET status = next,
         provider_ref = coalesce(t.provider_ref, p_intent),
         captured = CASE next WHEN 'succeeded' THEN t.amount ELSE t.captured END,
         failure_code = CASE next WHEN 'failed' THEN p_code END,
         failure_message = CASE next WHEN 'failed' THEN p_message END
   WHERE t.id = known.id;
  IF next IN ('canceled', 'succeeded') THEN -- the customer is not waited for any more
    UPDATE payments_attempt a SET outcome = CASE next WHEN 'canceled' THEN 'canceled' ELSE 'abandoned' END, updated_at = now()
     WHERE a.transaction_id = known.id AND a.outcome = 'requires_action';
  END IF;
  IF next = 'succeeded' THEN
    PERFORM apply_waiting_events(known.id, coalesce(known.provider_ref, p_intent));
  END IF;
  IF next = 'succeeded' AND (known.cancel_requested OR known.status = 'canceled') THEN
    PERFORM refund_rest(known.id, 'order cancelled');
  END IF;
END
$$;

-- What Stripe has answered.  p_outcome: as attempts have it, or declined, invalid, refused and
-- not_done, which are failures: of the last three nothing is kept, so the request's key is freed.
-- p_received and p_currency are Stripe's, in our units.  outcome: what now is recorded; is_strange:
-- it was of another intent or amount than ours, and somebody has to look.
CREATE FUNCTION record_outcome(p_attempt_id bigint, p_outcome text, p_intent text, p_received bigint,
                               p_currency text, p_code text, p_decline_code text, p_message text,
                               p_stripe_request_id text, OUT outcome text, OUT is_strange boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  known payments_transaction;
  found payments_attempt;
  news  text := CASE WHEN p_outcome IN ('declined', 'invalid', 'refused', 'not_done') THEN 'failed' ELSE p_outcome END;
  code  text := p_code;
BEGIN
  PERFORM lock_intent(p_intent);
  SELECT t.* INTO STRICT known
    FROM payments_transaction t JOIN payments_attempt a ON a.transaction_id = t.id
   WHERE a.id = p_attempt_id FOR UPDATE OF t;
  SELECT * INTO STRICT found FROM payments_attempt a WHERE a.id = p_attempt_id;
  PERFORM pg_advisory_unlock(work_lock('attempt', found.id));
  IF known.provider_ref <> p_intent THEN
    news := 'unknown';
    code := 'intent_mismatch';
  ELSIF news = 'succeeded' AND (p_received, p_currency) IS DISTINCT FROM (known.amount, known.currency) THEN
    news := 'unknown'; -- never marked paid: somebody has to look
    code := 'amount_mismatch';
  ELSIF news = 'succeeded' AND known.status = 'succeeded' AND found.outcome <> 'succeeded' THEN
    news := 'abandoned'; -- another attempt has taken the money
  END IF;
  is_strange := coalesce(code IN ('intent_mismatch', 'amount_mismatch'), false);
  IF NOT is_progress(found.outcome, news) AND news <> 'abandoned' THEN
    PERFORM keep_intent(known.id, p_intent);
    UPDATE payments_attempt a
       SET tries = a.tries + 1, updated_at = now(), failure_code = coalesce(code, a.failure_code),
           due_at = CASE a.outcome WHEN 'requires_action' THEN next_due(a.tries + 5) ELSE next_due(a.tries + 1) END
     WHERE a.id = found.id AND a.outcome IN ('unknown', 'processing', 'requires_action');
    outcome := found.outcome;
    RETURN;
  END IF;
  UPDATE payments_attempt a
     SET outcome = news, failure_code = code, decline_code = p_decline_code, failure_message = p_message,
         stripe_request_id = p_stripe_request_id, updated_at = now(),
         due_at = CASE news WHEN 'processing' THEN now() + interval '5 seconds'
                            WHEN 'requires_action' THEN next_due(5) ELSE now() END,
         request_key = CASE WHEN p_outcome IN ('invalid', 'refused', 'not_done') THEN NULL ELSE a.request_key END
   WHERE a.id = found.id;
  IF found.operation <> 'cancel' OR news IN ('canceled', 'succeeded') THEN
    PERFORM carry_over(known.id, news, p_intent, coalesce(p_decline_code, code), p_message);
  END IF;
  outcome := news;
END
$$;

-- The order's wish to take no money (any more).  state: 'call' with an attempt to cancel the intent
-- at Stripe; else what there is to say: canceled, refunding, succeeded or in_flight.
CREATE FUNCTION begin_cancel(p_order_id bigint, p_reason text, OUT state text, OUT attempt_id bigint,
                             OUT fresh boolean)
LANGUAGE plpgsql AS $$
DECLARE
  known  payments_transaction;
  flying payments_attempt;
BEGIN
  INSERT INTO payments_transaction (order_id, status, cancel_requested) VALUES (p_order_id, 'canceled', true)
  ON CONFLICT DO NOTHING;
  SELECT * INTO STRICT known FROM payments_transaction t WHERE t.order_id = p_order_id FOR UPDATE;
  SELECT * INTO flying FROM payments_attempt a
   WHERE a.transaction_id = known.id AND a.outcome IN ('pending', 'unknown', 'processing');
  IF p_reason = 'cancelled' THEN
    UPDATE payments_transaction t SET cancel_requested = true WHERE t.id = known.id AND NOT t.cancel_requested;
  END IF;
  state := CASE known.status WHEN 'succeeded' THEN 'succeeded' WHEN 'canceled' THEN 'canceled' ELSE 'in_flight' END;
  IF known.status = 'succeeded' AND p_reason = 'cancelled' THEN
    PERFORM refund_rest(known.id, 'order cancelled');
    state := 'refunding';
  ELSIF state <> 'in_flight' OR (flying.id IS NOT NULL AND flying.operation <> 'cancel') THEN
    RETURN;
  ELSIF known.provider_ref IS NULL THEN
    UPDATE payments_transaction t SET status = 'canceled' WHERE t.id = known.id;
    state := 'canceled';
  ELSIF flying.id IS NULL OR take_work('attempt', flying.id, flying.claimed_at) THEN
    state := 'call';
    fresh := flying.id IS NULL;
    attempt_id := coalesce(flying.id, new_attempt(known, 'cancel'));
    UPDATE payments_attempt a SET claimed_at = now() WHERE a.id = attempt_id;
  END IF;
END
$$;
