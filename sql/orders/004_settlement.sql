-- 004_settlement.sql: what happens to an order after it was placed.

CREATE FUNCTION payment_status_of(p_order orders_order, p_payment jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  captured bigint := (p_payment ->> 'captured')::bigint;
  refunded bigint := (p_payment ->> 'refunded')::bigint;
BEGIN
  RETURN CASE
    WHEN p_order.total = 0 THEN 'paid'
    WHEN captured >= p_order.total AND refunded = 0 THEN 'paid'
    WHEN captured >= p_order.total AND refunded < captured THEN 'partially_refunded'
    WHEN captured >= p_order.total THEN 'refunded'
    WHEN p_payment ->> 'status' IN ('pending', 'processing', 'unknown') THEN 'processing'
    WHEN p_payment ->> 'status' IN ('failed', 'canceled') THEN 'failed'
    ELSE 'requires_payment' END; -- requires_action: it is the customer's turn
END
$$;

-- Takes payment.updated over into its order.  Money that comes for an order that is cancelled or
-- expired goes back: payments is to be asked to cancel once more.
CREATE FUNCTION apply_payment(p_version bigint, p_payment jsonb) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  known orders_order;
  next  text;
BEGIN
  SELECT * INTO known FROM orders_order o WHERE o.id = (p_payment ->> 'order_id')::bigint FOR UPDATE;
  IF NOT FOUND OR p_version <= known.payment_version OR p_payment ->> 'currency' <> known.currency THEN
    RETURN false;
  END IF;
  next := payment_status_of(known, p_payment);
  UPDATE orders_order o
     SET payment_id = (p_payment ->> 'payment_id')::bigint, payment_version = p_version,
         payment_status = next, version = o.version + 1, updated_at = now()
   WHERE o.id = known.id;
  -- That it was paid may be told last, and some of it be given back by then.
  IF known.status = 'pending' AND next IN ('paid', 'partially_refunded', 'refunded') THEN
    PERFORM set_status(known.id, 'confirmed', 'system', 'paid in full');
  ELSIF known.status IN ('cancelled', 'expired') AND next IN ('paid', 'partially_refunded') AND known.total > 0
        -- A refund that failed is no new money: payments knows that it owes it.
        AND known.payment_status NOT IN ('paid', 'partially_refunded', 'refunded') THEN
    UPDATE orders_order o SET payment_cancel_due = true WHERE o.id = known.id;
  END IF;
  RETURN true;
END
$$;

-- An event from a sibling, by whichever way it comes: the outbox or the answer to a call.  True
-- when it took effect; a duplicate, an older one and one that is not for us do not.
CREATE FUNCTION receive_event(p_event jsonb) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  IF NOT first_receipt((p_event ->> 'event_id')::uuid, p_event ->> 'type') THEN
    RETURN false;
  END IF;
  IF p_event ->> 'type' <> 'payment.updated' THEN
    RETURN false;
  END IF;
  RETURN apply_payment((p_event ->> 'version')::bigint, p_event -> 'payload');
END
$$;

CREATE FUNCTION receive_events(p_events jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM receive_event(e.event)
     FROM (SELECT event FROM jsonb_array_elements(p_events) AS event
            ORDER BY (event ->> 'version')::bigint) e;
END
$$;

-- Null: no order that the caller may see.  True: it was cancelled now, and payments is to be
-- asked to cancel what it has and what may still come.
CREATE FUNCTION cancel_order(p_order_id bigint, p_user_id bigint, p_actor text, p_reason text) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM orders_order o
    WHERE o.id = p_order_id AND (o.user_id = p_user_id OR p_actor <> 'customer')
      FOR UPDATE;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  RETURN set_status(p_order_id, 'cancelled', p_actor, coalesce(p_reason, ''), p_user_id);
END
$$;

-- Nothing was charged and nothing will be: the reservation ran out.
CREATE FUNCTION expire_order(p_order_id bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM orders_order o WHERE o.id = p_order_id AND o.status = 'pending' FOR UPDATE;
  IF FOUND THEN
    PERFORM set_status(p_order_id, 'expired', 'system', 'not paid in time');
  END IF;
END
$$;

-- An attempt is still open: the clock runs on.  After 24 hours the order expires all the same,
-- and whatever comes of the attempt is cancelled or refunded.
CREATE FUNCTION wait_for_payment(p_order_id bigint, p_seconds integer) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM extend_clock(p_order_id, p_seconds);
  PERFORM FROM orders_order o
    WHERE o.id = p_order_id AND o.status = 'pending' AND o.reserved_until <= now()
      FOR UPDATE;
  IF FOUND THEN
    PERFORM set_status(p_order_id, 'expired', 'system', 'not paid in time');
    UPDATE orders_order o SET payment_cancel_due = true WHERE o.id = p_order_id;
  END IF;
END
$$;

-- What payments must know before it charges.  Null: no such order, or not this user's: a stranger
-- does not start its clock again.
CREATE FUNCTION payable(p_order_id bigint, p_user_id bigint, p_seconds integer) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
  known orders_order;
BEGIN
  IF NOT EXISTS (SELECT FROM orders_order o
                  WHERE o.id = p_order_id AND (p_user_id IS NULL OR o.user_id = p_user_id)) THEN
    RETURN NULL;
  END IF;
  PERFORM extend_clock(p_order_id, p_seconds);
  SELECT * INTO STRICT known FROM orders_order o WHERE o.id = p_order_id;
  RETURN jsonb_build_object(
    'order_id', known.id, 'user_id', known.user_id, 'amount', known.total, 'currency', known.currency,
    'state', CASE known.status
               WHEN 'pending' THEN CASE WHEN known.reserved_until > now() THEN 'payable' ELSE 'expired' END
               WHEN 'cancelled' THEN 'cancelled'
               WHEN 'expired' THEN 'expired'
               ELSE 'paid' END);
END
$$;

-- What waits to be finished, by whom it is finished: `arnova relay` through due and run.  A
-- checkout is abandoned when nobody touched it for longer than a request may take.
CREATE VIEW order_due AS
SELECT s.order_id, 'undo' AS step, s.updated_at AS due_at
  FROM orders_saga s
 WHERE s.state = 'undoing' OR (s.state = 'reserving' AND s.updated_at < now() - interval '30 seconds')
UNION ALL
SELECT o.id, 'cancel_payment', o.updated_at
  FROM orders_order o
 WHERE o.payment_cancel_due
UNION ALL
SELECT o.id, 'expire', o.reserved_until
  FROM orders_order o
 WHERE o.status = 'pending' AND o.reserved_until <= now();
