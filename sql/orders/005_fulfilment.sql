-- 005_fulfilment.sql: what has left the house, and what became of it.

-- How a shipment goes on.  Carriers that report nothing on the way are "delivered" at once; lost
-- is final, and its lines stay shipped: the goods are gone, the money is payments' affair.
CREATE TABLE orders_shipmenttransition (
  from_status text NOT NULL,
  to_status   text NOT NULL,
  PRIMARY KEY (from_status, to_status)
);
INSERT INTO orders_shipmenttransition (from_status, to_status) VALUES
  ('shipped',    'in_transit'),
  ('shipped',    'delivered'),
  ('shipped',    'lost'),
  ('in_transit', 'delivered'),
  ('in_transit', 'lost');

-- Where carriers show what they know; name is theirs in small letters and digits alone, {} stands
-- for the number.
CREATE TABLE orders_carrier (
  name         text PRIMARY KEY,
  tracking_url text NOT NULL
);
INSERT INTO orders_carrier (name, tracking_url) VALUES
  ('ups',           'https://www.ups.com/track?tracknum={}'),
  ('usps',          'https://tools.usps.com/go/TrackConfirmAction?tLabels={}'),
  ('fedex',         'https://www.fedex.com/fedextrack/?trknbr={}'),
  ('dhl',           'https://www.dhl.com/global-en/home/tracking.html?tracking-id={}'),
  ('dhlexpress',    'https://www.dhl.com/global-en/home/tracking.html?tracking-id={}'),
  ('royalmail',     'https://www.royalmail.com/track-your-item#/tracking-results/{}'),
  ('canadapost',    'https://www.canadapost-postescanada.ca/track-reperage/en#/search?searchFor={}'),
  ('australiapost', 'https://auspost.com.au/mypost/track/#/details/{}');

-- Null for a carrier that is not known, and for a number that does not look like one.
CREATE FUNCTION tracking_url(p_carrier text, p_number text) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
  number text := upper(regexp_replace(p_number, '[ -]', '', 'g'));
BEGIN
  RETURN (SELECT replace(c.tracking_url, '{}', number)
            FROM orders_carrier c
           WHERE c.name = regexp_replace(lower(p_carrier), '[^a-z0-9]', '', 'g') AND number ~ '^[A-Z0-9]+$');
END
$$;

-- An order's fulfillment_status, from its rows.  What was delivered counts for more than what is
-- still to be shipped.
CREATE VIEW order_fulfillment AS
SELECT o.id AS order_id, l.left_over,
       CASE WHEN o.status IN ('cancelled', 'expired') THEN 'cancelled'
            WHEN l.shipped = 0 THEN 'unfulfilled'
            WHEN d.delivered = l.ordered THEN 'delivered'
            WHEN d.delivered > 0 THEN 'partially_delivered'
            WHEN l.left_over = 0 THEN 'shipped'
            ELSE 'partially_shipped' END AS fulfillment_status
  FROM orders_order o
 CROSS JOIN LATERAL (
   SELECT sum(i.quantity) AS ordered, sum(i.shipped_quantity) AS shipped,
          sum(i.quantity - i.shipped_quantity) AS left_over
     FROM orders_orderitem i WHERE i.order_id = o.id) l
 CROSS JOIN LATERAL (
   SELECT coalesce(sum(c.quantity), 0) AS delivered
     FROM orders_shipment s
     JOIN orders_shipmentitem c ON c.shipment_id = s.id
    WHERE s.order_id = o.id AND s.status = 'delivered') d;

-- Lines, shipments and statuses of an order say the same; looked at when the transaction ends.
CREATE FUNCTION check_order_shipments() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
  row_now jsonb  := to_jsonb(coalesce(NEW, OLD));
  changed bigint := CASE TG_TABLE_NAME
                      WHEN 'orders_order' THEN (row_now ->> 'id')::bigint
                      WHEN 'orders_shipmentitem' THEN
                        (SELECT i.order_id FROM orders_orderitem i WHERE i.id = (row_now ->> 'order_item_id')::bigint)
                      ELSE (row_now ->> 'order_id')::bigint END;
BEGIN
  PERFORM FROM orders_order o
    JOIN order_fulfillment f ON f.order_id = o.id
    WHERE o.id = changed
      AND (o.fulfillment_status <> f.fulfillment_status
           OR (o.status IN ('shipped', 'delivered')) <> (f.left_over = 0)
           OR (o.status = 'delivered') <> (f.fulfillment_status = 'delivered'));
  IF FOUND OR EXISTS (
       SELECT FROM orders_orderitem i
        WHERE i.order_id = changed
          AND i.shipped_quantity <> (SELECT coalesce(sum(c.quantity), 0) FROM orders_shipmentitem c
                                       JOIN orders_shipment s ON s.id = c.shipment_id
                                      WHERE c.order_item_id = i.id AND s.order_id = changed)) THEN
    PERFORM problem(409, 'order_shipments_mismatch');
  END IF;
  RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER order_shipments_mismatch AFTER UPDATE OF status, fulfillment_status ON orders_order
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_order_shipments();
CREATE CONSTRAINT TRIGGER order_shipments_mismatch AFTER UPDATE OF quantity, shipped_quantity ON orders_orderitem
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_order_shipments();
CREATE CONSTRAINT TRIGGER order_shipments_mismatch AFTER UPDATE OF status, order_id ON orders_shipment
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_order_shipments();
CREATE CONSTRAINT TRIGGER order_shipments_mismatch AFTER INSERT OR UPDATE OR DELETE ON orders_shipmentitem
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_order_shipments();

CREATE FUNCTION follow_shipments(p_order_id bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  UPDATE orders_order o
     SET fulfillment_status = f.fulfillment_status, version = o.version + 1, updated_at = now()
    FROM order_fulfillment f
   WHERE o.id = p_order_id AND f.order_id = o.id;
END
$$;

-- The lines to ship, equal ones summed: those asked for, null for all that is left.  A line of
-- another order is a 400, more than is left a 409.  The order's row is locked.
CREATE FUNCTION lines_to_ship(p_order_id bigint, p_items jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
  errors jsonb;
  lines  jsonb;
  beyond jsonb;
BEGIN
  SELECT jsonb_object_agg(format('items[%s].order_item_id', a.at - 1), jsonb_build_array(
           format('Invalid pk "%s" - object does not exist.', a.item ->> 'order_item_id')))
    INTO errors
    FROM jsonb_array_elements(p_items) WITH ORDINALITY AS a (item, at)
   WHERE NOT EXISTS (SELECT FROM orders_orderitem i
                      WHERE i.id = (a.item ->> 'order_item_id')::bigint AND i.order_id = p_order_id);
  IF errors IS NOT NULL THEN
    PERFORM problem(400, 'invalid', jsonb_build_object('errors', errors));
  END IF;
  SELECT jsonb_agg(jsonb_build_object('order_item_id', i.id, 'quantity', coalesce(a.quantity, i.quantity - i.shipped_quantity))
                   ORDER BY i.id),
         jsonb_agg(jsonb_build_object('order_item_id', i.id, 'requested', a.quantity, 'left', i.quantity - i.shipped_quantity)
                   ORDER BY i.id) FILTER (WHERE a.quantity > i.quantity - i.shipped_quantity)
    INTO lines, beyond
    FROM orders_orderitem i
    LEFT JOIN (SELECT r.order_item_id, sum(r.quantity) AS quantity
                 FROM jsonb_to_recordset(p_items) AS r (order_item_id bigint, quantity bigint)
                GROUP BY r.order_item_id) a ON a.order_item_id = i.id
   WHERE i.order_id = p_order_id
     AND CASE WHEN p_items IS NULL THEN i.quantity > i.shipped_quantity ELSE a.quantity IS NOT NULL END;
  IF lines IS NULL OR beyond IS NOT NULL THEN
    PERFORM problem(409, 'quantity_exceeded', jsonb_build_object('items', coalesce(beyond, '[]')));
  END IF;
  RETURN lines;
END
$$;

-- A shipment of these lines, and what it tells products: they are gone.
CREATE FUNCTION insert_shipment(p_order_id bigint, p_lines jsonb, p_carrier text, p_number text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  shipment bigint;
BEGIN
  INSERT INTO orders_shipment (order_id, carrier, tracking_number, tracking_url)
  VALUES (p_order_id, p_carrier, p_number, tracking_url(p_carrier, p_number))
  RETURNING id INTO shipment;
  INSERT INTO orders_shipmentitem (shipment_id, order_item_id, quantity)
  SELECT shipment, l.order_item_id, l.quantity
    FROM jsonb_to_recordset(p_lines) AS l (order_item_id bigint, quantity integer);
  UPDATE orders_orderitem i SET shipped_quantity = i.shipped_quantity + c.quantity
    FROM orders_shipmentitem c
   WHERE c.shipment_id = shipment AND i.id = c.order_item_id;
  PERFORM follow_shipments(p_order_id);
  PERFORM emit('order.shipped', p_order_id, (SELECT o.version FROM orders_order o WHERE o.id = p_order_id),
               jsonb_build_object('order_id', p_order_id, 'shipment_id', shipment, 'items',
                 (SELECT jsonb_agg(jsonb_build_object('product_id', i.product_id, 'variant_id', i.variant_id,
                                                      'quantity', c.quantity) ORDER BY i.id)
                    FROM orders_shipmentitem c JOIN orders_orderitem i ON i.id = c.order_item_id
                   WHERE c.shipment_id = shipment)));
  RETURN shipment;
END
$$;

-- Staff ships: p_items null stands for all that is left.  The order starts processing by itself,
-- and is shipped with its last line.  Returns the shipment's id, null where there is no order.
CREATE FUNCTION ship_order(p_order_id bigint, p_items jsonb, p_carrier text, p_number text, p_staff_id bigint,
                           p_note text DEFAULT '') RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  before   text;
  shipment bigint;
BEGIN
  SELECT o.status INTO before FROM orders_order o WHERE o.id = p_order_id FOR UPDATE;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  IF before NOT IN ('confirmed', 'processing', 'shipped') THEN
    PERFORM refuse_transition(p_order_id, before, 'shipped', 'staff');
  END IF;
  IF before = 'confirmed' THEN
    PERFORM set_status(p_order_id, 'processing', 'staff', '', p_staff_id);
  END IF;
  shipment := insert_shipment(p_order_id, lines_to_ship(p_order_id, p_items), p_carrier, p_number);
  IF (SELECT f.left_over FROM order_fulfillment f WHERE f.order_id = p_order_id) = 0 THEN
    PERFORM set_status(p_order_id, 'shipped', 'staff', p_note, p_staff_id);
  END IF;
  RETURN shipment;
END
$$;

-- What the carrier says.  The order is delivered with the last of its shipments.  Returns the
-- shipment's id, null where the order has no such shipment.
CREATE FUNCTION change_shipment(p_order_id bigint, p_shipment_id bigint, p_to text, p_staff_id bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  order_status text;
  before       text;
BEGIN
  SELECT o.status INTO order_status FROM orders_order o WHERE o.id = p_order_id FOR UPDATE;
  SELECT s.status INTO before FROM orders_shipment s WHERE s.id = p_shipment_id AND s.order_id = p_order_id;
  IF NOT FOUND OR before = p_to THEN
    RETURN CASE WHEN FOUND THEN p_shipment_id END;
  END IF;
  IF NOT EXISTS (SELECT FROM orders_shipmenttransition t WHERE t.from_status = before AND t.to_status = p_to) THEN
    PERFORM problem(409, 'invalid_transition', jsonb_build_object('from', before, 'to', p_to, 'allowed',
      (SELECT coalesce(jsonb_agg(t.to_status ORDER BY t.to_status), '[]')
         FROM orders_shipmenttransition t WHERE t.from_status = before)));
  END IF;
  UPDATE orders_shipment SET status = p_to, delivered_at = CASE p_to WHEN 'delivered' THEN now() END
   WHERE id = p_shipment_id;
  PERFORM follow_shipments(p_order_id);
  IF order_status = 'shipped' AND NOT EXISTS (SELECT FROM orders_shipment s
                                               WHERE s.order_id = p_order_id AND s.status <> 'delivered') THEN
    PERFORM set_status(p_order_id, 'delivered', 'staff', '', p_staff_id);
  END IF;
  RETURN p_shipment_id;
END
$$;

-- Staff says where the order stands, without a word of carriers: shipped ships what is left, and
-- delivered delivers what is on its way.  (Cancelling is cancel_order's.)  False without effect,
-- null where there is no order.
CREATE FUNCTION change_status(p_order_id bigint, p_to text, p_staff_id bigint, p_note text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  before text;
BEGIN
  SELECT o.status INTO before FROM orders_order o WHERE o.id = p_order_id FOR UPDATE;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  IF before = 'processing' AND p_to = 'shipped' THEN
    RETURN ship_order(p_order_id, NULL, '', '', p_staff_id, p_note) IS NOT NULL;
  END IF;
  IF before = 'shipped' AND p_to = 'delivered' THEN
    UPDATE orders_shipment s SET status = 'delivered', delivered_at = now()
     WHERE s.order_id = p_order_id AND s.status IN ('shipped', 'in_transit');
    PERFORM follow_shipments(p_order_id);
  END IF;
  RETURN set_status(p_order_id, p_to, 'staff', p_note, p_staff_id);
END
$$;
