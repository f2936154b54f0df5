-- 003_refunds.sql: what is given back.

-- Begins a refund or finds it again by its request key.  The row lock makes two at once take
-- their turns, and the constraint refund_exceeds_captured has the last word.
CREATE FUNCTION begin_refund(p_payment_id bigint, p_amount text, p_reason text, p_request_key text,
                             OUT refund_id bigint, OUT order_id bigint)
LANGUAGE plpgsql AS $$
DECLARE
  known  payments_transaction;
  wanted bigint;
  rest   bigint;
  next   integer;
BEGIN
  SELECT * INTO known FROM payments_transaction t
   WHERE t.id = p_payment_id AND t.user_id IS NOT NULL FOR UPDATE;
  IF NOT FOUND THEN
    PERFORM problem(404, 'not_found');
  END IF;
  order_id := known.order_id;
  SELECT r.id, r.amount INTO refund_id, wanted FROM payments_refund r
   WHERE r.transaction_id = known.id AND r.request_key = p_request_key;
  IF FOUND THEN
    IF minor_units(p_amount, known.currency, 'amount') <> wanted THEN
      PERFORM problem(422, 'idempotency_key_reused');
    END IF;
    RETURN;
  END IF;
  rest := known.captured - known.refunded - known.refund_pending;
  IF rest = 0 THEN
    PERFORM problem(409, 'not_refundable');
  END IF;
  wanted := coalesce(minor_units(p_amount, known.currency, 'amount'), rest);
  IF wanted = 0 THEN
    PERFORM invalid('amount', 'Ensure that the amount is greater than zero.');
  ELSIF wanted % charge_step(known.currency) <> 0 THEN
    PERFORM invalid('amount', format('Ensure that the amount is a multiple of %s.',
                                     money(charge_step(known.currency), known.currency)));
  ELSIF wanted > rest THEN
    PERFORM problem(422, 'refund_exceeds_captured', jsonb_build_object('refundable', money(rest, known.currency)));
  END IF;
  SELECT coalesce(max(r.number), 0) + 1 INTO next FROM payments_refund r WHERE r.transaction_id = known.id;
  INSERT INTO payments_refund (transaction_id, number, request_key, stripe_key, amount, reason)
  VALUES (known.id, next, p_request_key, format('arnova-%s-refund-%s', known.uuid, next), wanted, p_reason)
  RETURNING id INTO refund_id;
  UPDATE payments_transaction t SET refund_pending = t.refund_pending + wanted WHERE t.id = known.id;
END
$$;

-- What a call for a refund is made of.  No row: somebody else is at it.
CREATE FUNCTION take_refund(p_refund_id bigint)
RETURNS TABLE (refund_id bigint, status text, stripe_key text, refund_ref text, reason text, amount bigint,
               currency text, provider_ref text, payment_id bigint, order_id bigint, is_repeatable boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  PERFORM FROM payments_refund r WHERE r.id = p_refund_id AND take_work('refund', r.id, r.claimed_at);
  IF NOT FOUND THEN
    RETURN;
  END IF;
  UPDATE payments_refund r SET claimed_at = now() WHERE r.id = p_refund_id;
  RETURN QUERY
  SELECT r.id, r.status, r.stripe_key, r.provider_ref, r.reason, r.amount, t.currency, t.provider_ref, t.id,
         t.order_id, r.created_at > now() - interval '23 hours'
    FROM payments_refund r JOIN payments_transaction t ON t.id = r.transaction_id
   WHERE r.id = p_refund_id;
END
$$;

-- Moves a refund and the sums of its payment together.  pending -> succeeded, failed, canceled;
-- succeeded -> failed, days later: the money is then refundable again.
CREATE FUNCTION move_refund(p_refund payments_refund, p_status text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  was_pending   integer := (p_refund.status = 'pending')::integer;
  was_succeeded integer := (p_refund.status = 'succeeded')::integer;
  succeeds      integer := (p_status = 'succeeded')::integer;
BEGIN
  IF (p_refund.status, p_status) NOT IN (('pending', 'succeeded'), ('pending', 'failed'),
                                         ('pending', 'canceled'), ('succeeded', 'failed')) THEN
    RETURN false;
  END IF;
  UPDATE payments_refund r SET status = p_status, updated_at = now() WHERE r.id = p_refund.id;
  UPDATE payments_transaction t
     SET refund_pending = t.refund_pending - was_pending * p_refund.amount,
         refunded = t.refunded + (succeeds - was_succeeded) * p_refund.amount
   WHERE t.id = p_refund.transaction_id;
  RETURN true;
END
$$;

-- What Stripe has answered: pending, succeeded, failed, canceled; unknown and not_done leave it to
-- be submitted again; never: it was not made and cannot be under this key, so another is.
CREATE FUNCTION record_refund(p_refund_id bigint, p_outcome text, p_refund_ref text, p_failure_reason text,
                              p_stripe_request_id text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  found payments_refund;
  next  text := CASE p_outcome WHEN 'never' THEN 'failed' ELSE p_outcome END;
BEGIN
  PERFORM FROM payments_transaction t JOIN payments_refund r ON r.transaction_id = t.id
    WHERE r.id = p_refund_id FOR UPDATE OF t;
  SELECT * INTO STRICT found FROM payments_refund r WHERE r.id = p_refund_id;
  PERFORM pg_advisory_unlock(work_lock('refund', found.id));
  UPDATE payments_refund r
     SET provider_ref = coalesce(r.provider_ref, p_refund_ref), tries = r.tries + 1,
         due_at = CASE next WHEN 'pending' THEN greatest(next_due(r.tries + 1), now() + interval '5 seconds')
                            ELSE next_due(r.tries) END,
         failure_reason = coalesce(p_failure_reason, r.failure_reason),
         stripe_request_id = coalesce(p_stripe_request_id, r.stripe_request_id), updated_at = now(),
         -- A refusal keeps nothing: the same request may be made again.
         request_key = CASE WHEN next = 'failed' AND p_refund_ref IS NULL THEN NULL ELSE r.request_key END
   WHERE r.id = found.id;
  PERFORM move_refund(found, next);
  IF p_outcome = 'never' AND found.status = 'pending' THEN
    PERFORM refund_rest(t.id, found.reason) FROM payments_transaction t
      WHERE t.id = found.transaction_id AND t.cancel_requested;
  END IF;
  RETURN (SELECT r.status FROM payments_refund r WHERE r.id = found.id);
END
$$;

CREATE VIEW refund_entry AS
SELECT r.id, r.transaction_id AS payment_id, r.status, json_build_object(
         'id', r.id,
         'payment_id', t.id,
         'order_id', t.order_id,
         'amount', money(r.amount, t.currency),
         'currency', t.currency,
         'status', r.status,
         'reason', r.reason,
         'created_at', wire_time(r.created_at),
         'payment', p.payment) AS refund
  FROM payments_refund r
  JOIN payments_transaction t ON t.id = r.transaction_id
  JOIN payment_entry p ON p.id = t.id;
