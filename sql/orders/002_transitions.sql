-- 002_transitions.sql: how an order changes, and how it is shown.

-- The transitions that are open to an order as it stands; once anything has shipped, none leads
-- to cancelled, and once anything was lost, none to delivered.
CREATE VIEW order_transition AS
SELECT o.id AS order_id, t.from_status, t.to_status, t.action, t.actors, t.event
  FROM orders_order o
  JOIN orders_transition t ON t.from_status = o.status
 WHERE CASE t.to_status
         WHEN 'cancelled' THEN NOT EXISTS (SELECT FROM orders_orderitem i
                                            WHERE i.order_id = o.id AND i.shipped_quantity > 0)
         WHEN 'delivered' THEN NOT EXISTS (SELECT FROM orders_shipment s
                                            WHERE s.order_id = o.id AND s.status = 'lost')
         ELSE true END;

CREATE VIEW order_line AS
SELECT i.order_id,
       jsonb_agg(jsonb_build_object('product_id', i.product_id, 'variant_id', i.variant_id,
                                    'quantity', i.quantity) ORDER BY i.id) AS lines
  FROM orders_orderitem i
 GROUP BY i.order_id;

CREATE FUNCTION order_event(p_type text, p_order orders_order) RETURNS jsonb
LANGUAGE plpgsql AS $$
BEGIN
  IF p_type = 'order.released' THEN
    RETURN jsonb_build_object('order_id', p_order.id, 'reason', p_order.status);
  END IF;
  RETURN jsonb_build_object('order_id', p_order.id, 'user_id', p_order.user_id,
                            'from_cart', p_order.from_cart,
                            'items', (SELECT l.lines FROM order_line l WHERE l.order_id = p_order.id));
END
$$;

-- 409, with the statuses that are open to the actor.
CREATE FUNCTION refuse_transition(p_order_id bigint, p_from text, p_to text, p_actor text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM problem(409, 'invalid_transition', jsonb_build_object('from', p_from, 'to', p_to, 'allowed',
    (SELECT coalesce(jsonb_agg(t.to_status ORDER BY t.to_status), '[]') FROM order_transition t
      WHERE t.order_id = p_order_id AND p_actor = ANY (t.actors))));
END
$$;

-- The one way from status to status: history and outbox in the same transaction.  True when the
-- order changed; its own status is no change; a status that is not open to the actor is a 409.
CREATE FUNCTION set_status(p_order_id bigint, p_to text, p_actor text, p_note text DEFAULT '',
                           p_actor_id bigint DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  changed orders_order;
  before  text;
  told    text;
BEGIN
  SELECT o.status INTO STRICT before FROM orders_order o WHERE o.id = p_order_id FOR UPDATE;
  IF before = p_to THEN
    RETURN false;
  END IF;
  SELECT t.event INTO told FROM order_transition t
   WHERE t.order_id = p_order_id AND t.to_status = p_to AND p_actor = ANY (t.actors);
  IF NOT FOUND THEN
    PERFORM refuse_transition(p_order_id, before, p_to, p_actor);
  END IF;
  UPDATE orders_order o
     SET status = p_to, version = o.version + 1, updated_at = now(),
         fulfillment_status = CASE WHEN p_to IN ('cancelled', 'expired') THEN 'cancelled'
                                   ELSE o.fulfillment_status END,
         payment_cancel_due = p_to = 'cancelled' -- and what comes late goes back, too
   WHERE o.id = p_order_id
  RETURNING * INTO changed;
  INSERT INTO orders_orderhistory (order_id, from_status, status, note, actor, actor_id)
  VALUES (p_order_id, before, p_to, p_note, p_actor, p_actor_id);
  IF told IS NOT NULL THEN
    PERFORM emit(told, p_order_id, changed.version, order_event(told, changed));
  END IF;
  RETURN true;
END
$$;

-- An attempt to pay starts the reservation's clock again, up to 24 hours in all.
CREATE FUNCTION extend_clock(p_order_id bigint, p_seconds integer) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  UPDATE orders_order o
     SET reserved_until = greatest(o.reserved_until, least(now() + make_interval(secs => p_seconds),
                                                           o.created_at + interval '24 hours'))
   WHERE o.id = p_order_id AND o.status = 'pending';
END
$$;

-- The order as the contract shows it, once for each kind of caller: an owner, a staff member, a
-- staff member's own order.  A stranger is neither and finds no row.
--
-- allowed_actions: pay (the owner's alone: pending, no attempt's outcome open, within the 24
-- hours of the clock), cancel, and for staff the other steps that the transitions open: process,
-- ship (from confirmed too: a shipment starts the processing by itself), deliver.
CREATE VIEW order_entry AS
SELECT o.id, o.user_id, viewer.is_owner, viewer.is_staff,
       json_build_object(
         'id', o.id, 'number', o.number, 'user_id', o.user_id, 'email', o.email, 'status', o.status,
         'payment_status', o.payment_status, 'fulfillment_status', o.fulfillment_status,
         'currency', o.currency,
         'subtotal', money(o.subtotal, o.currency), 'discount_total', money(o.discount_total, o.currency),
         'shipping_total', money(o.shipping_total, o.currency), 'tax_total', money(o.tax_total, o.currency),
         'total', money(o.total, o.currency),
         'items', (SELECT json_agg(json_build_object(
                            'id', i.id, 'product_id', i.product_id, 'variant_id', i.variant_id,
                            'sku', i.sku, 'name', i.name, 'quantity', i.quantity,
                            'unit_price', money(i.unit_price, o.currency),
                            'total', money(i.total, o.currency)) ORDER BY i.id)
                     FROM orders_orderitem i WHERE i.order_id = o.id),
         'shipping_address', o.shipping_address, 'billing_address', o.billing_address, 'notes', o.notes,
         'reserved_until', CASE WHEN o.status = 'pending' THEN wire_time(o.reserved_until) END,
         'payment_id', o.payment_id,
         'allowed_actions', (SELECT coalesce(json_agg(a.action ORDER BY a.action), '[]')
                               FROM (SELECT 'pay' AS action
                                      WHERE viewer.is_owner AND o.status = 'pending'
                                        AND o.payment_status IN ('requires_payment', 'failed')
                                        AND o.created_at + interval '24 hours' > now()
                                      UNION
                                     SELECT 'ship' WHERE viewer.is_staff AND o.status = 'confirmed'
                                      UNION
                                     SELECT t.action FROM order_transition t
                                      WHERE t.order_id = o.id
                                        AND (viewer.is_owner AND 'customer' = ANY (t.actors)
                                             OR viewer.is_staff AND 'staff' = ANY (t.actors))) a),
         'created_at', wire_time(o.created_at), 'updated_at', wire_time(o.updated_at)) AS entry
  FROM orders_order o
 CROSS JOIN (VALUES (true, false), (false, true), (true, true)) AS viewer (is_owner, is_staff);

CREATE VIEW shipment_entry AS
SELECT s.id, s.order_id,
       json_build_object(
         'id', s.id, 'carrier', s.carrier, 'tracking_number', s.tracking_number,
         'tracking_url', s.tracking_url, 'status', s.status,
         'items', (SELECT json_agg(json_build_object('order_item_id', c.order_item_id, 'quantity', c.quantity)
                                   ORDER BY c.order_item_id)
                     FROM orders_shipmentitem c WHERE c.shipment_id = s.id),
         'shipped_at', wire_time(s.shipped_at), 'delivered_at', wire_time(s.delivered_at)) AS entry
  FROM orders_shipment s;

CREATE VIEW order_track AS
SELECT o.id, o.user_id,
       json_build_object(
         'id', o.id, 'number', o.number, 'status', o.status, 'payment_status', o.payment_status,
         'fulfillment_status', o.fulfillment_status,
         'history', (SELECT json_agg(json_build_object('status', h.status, 'note', h.note, 'actor', h.actor,
                                                       'at', wire_time(h.at)) ORDER BY h.id)
                       FROM orders_orderhistory h WHERE h.order_id = o.id),
         'shipments', (SELECT coalesce(json_agg(s.entry ORDER BY s.id), '[]')
                         FROM shipment_entry s WHERE s.order_id = o.id)) AS entry
  FROM orders_order o;
