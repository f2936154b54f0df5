-- How many there are of everything.  A stock row belongs to a product without variants (variant_id
-- null) or to one variant.  What can be bought is on_hand - reserved; PostgreSQL itself refuses to
-- oversell.

CREATE TABLE products_stock (
  id         bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  product_id bigint  NOT NULL REFERENCES products_product,
  variant_id bigint  REFERENCES products_productvariant,
  on_hand    integer NOT NULL DEFAULT 0,
  reserved   integer NOT NULL DEFAULT 0,
  CONSTRAINT stock_row_taken UNIQUE NULLS NOT DISTINCT (product_id, variant_id),
  CONSTRAINT reserved_negative CHECK (reserved >= 0),
  CONSTRAINT insufficient_stock CHECK (reserved <= on_hand)
);

-- Every change of a stock row, one row per cause.  Insert-only.
CREATE TABLE products_stockmovement (
  id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  stock_id   bigint      NOT NULL REFERENCES products_stock,
  on_hand    integer     NOT NULL, -- the change, not the level
  reserved   integer     NOT NULL,
  cause      text        NOT NULL CONSTRAINT movement_cause CHECK (cause IN
               ('initial', 'correction', 'hold', 'release', 'consume')),
  reference  text,       -- the order's id; null for a person's correction
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT movement_taken UNIQUE (stock_id, cause, reference)
);

-- held -> committed (order confirmed) -> consumed (shipped) or released.  Products has no timer:
-- orders alone decides when a hold ends.  A release before its hold leaves a tombstone.
CREATE TABLE products_reservation (
  order_id   bigint      PRIMARY KEY,
  state      text        NOT NULL CONSTRAINT reservation_state CHECK (state IN
               ('held', 'committed', 'consumed', 'released')),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE products_reservationitem (
  order_id bigint  NOT NULL REFERENCES products_reservation,
  stock_id bigint  NOT NULL REFERENCES products_stock,
  quantity integer NOT NULL CONSTRAINT reservation_quantity CHECK (quantity > 0),
  consumed integer NOT NULL DEFAULT 0,
  PRIMARY KEY (order_id, stock_id),
  CONSTRAINT reservation_consumed CHECK (consumed BETWEEN 0 AND quantity)
);

-- Changes level and ledger together.  Nothing else changes stock but hold(), whose update depends
-- on what is left.
CREATE FUNCTION move_stock(p_stock_id bigint, p_on_hand integer, p_reserved integer, p_cause text,
                           p_reference text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  UPDATE products_stock SET on_hand = on_hand + p_on_hand, reserved = reserved + p_reserved
   WHERE id = p_stock_id;
  INSERT INTO products_stockmovement (stock_id, on_hand, reserved, cause, reference)
  VALUES (p_stock_id, p_on_hand, p_reserved, p_cause, p_reference);
END
$$;

-- A new stock row with its first quantity.
CREATE FUNCTION open_stock(p_product_id bigint, p_variant_id bigint, p_quantity integer) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  stock bigint;
BEGIN
  INSERT INTO products_stock (product_id, variant_id) VALUES (p_product_id, p_variant_id)
  RETURNING id INTO stock;
  PERFORM move_stock(stock, p_quantity, 0, 'initial');
END
$$;

-- What can be bought becomes p_quantity, whatever is reserved stays so.  A person's correction:
-- checkout never comes here.  A product whose last variant is gone gets a stock row of its own.
CREATE FUNCTION correct_stock(p_product_id bigint, p_variant_id bigint, p_quantity integer) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  stock products_stock;
BEGIN
  SELECT * INTO stock FROM products_stock
   WHERE product_id = p_product_id AND variant_id IS NOT DISTINCT FROM p_variant_id FOR UPDATE;
  IF NOT FOUND THEN
    PERFORM open_stock(p_product_id, p_variant_id, p_quantity);
  ELSIF p_quantity <> stock.on_hand - stock.reserved THEN
    PERFORM move_stock(stock.id, p_quantity - (stock.on_hand - stock.reserved), 0, 'correction');
  END IF;
END
$$;

CREATE FUNCTION has_variants(p_product_id bigint) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN EXISTS (SELECT FROM products_productvariant
                  WHERE product_id = p_product_id AND deleted_at IS NULL);
END
$$;

-- The lines of an order, equal ones summed, with their stock rows; null where there is none: an
-- unknown product, or one that has variants asked for without one.
CREATE FUNCTION reservation_lines(p_items jsonb)
RETURNS TABLE (product_id bigint, variant_id bigint, quantity integer, stock_id bigint)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT i.product_id, i.variant_id, sum(i.quantity)::integer, s.id
    FROM jsonb_to_recordset(p_items) AS i(product_id bigint, variant_id bigint, quantity integer)
    LEFT JOIN (products_stock s JOIN products_product p
               ON p.id = s.product_id AND p.is_active AND p.deleted_at IS NULL
               LEFT JOIN products_productvariant v ON v.id = s.variant_id)
      ON s.product_id = i.product_id AND s.variant_id IS NOT DISTINCT FROM i.variant_id
         AND v.deleted_at IS NULL AND (v.id IS NOT NULL OR NOT has_variants(p.id))
   GROUP BY i.product_id, i.variant_id, s.id
   ORDER BY s.id;
END
$$;

-- Holds all lines or none.  One conditional update per stock row, in order of id, so that two
-- orders never wait for one another in a circle.  Returns the state, `is_new` the first time.
CREATE FUNCTION hold(p_order_id bigint, p_items jsonb, OUT state text, OUT is_new boolean)
LANGUAGE plpgsql AS $$
DECLARE
  line    record;
  missing jsonb := '[]';
BEGIN
  INSERT INTO products_reservation (order_id, state) VALUES (p_order_id, 'held')
  ON CONFLICT DO NOTHING;
  is_new := FOUND;
  SELECT r.state INTO STRICT state FROM products_reservation r WHERE r.order_id = p_order_id FOR UPDATE;
  IF state = 'released' THEN
    PERFORM problem(409, 'reservation_released');
  END IF;
  IF NOT is_new THEN
    RETURN;
  END IF;
  FOR line IN SELECT * FROM reservation_lines(p_items) LOOP
    UPDATE products_stock s SET reserved = reserved + line.quantity
     WHERE s.id = line.stock_id AND s.on_hand - s.reserved >= line.quantity;
    IF FOUND THEN
      INSERT INTO products_stockmovement (stock_id, on_hand, reserved, cause, reference)
      VALUES (line.stock_id, 0, line.quantity, 'hold', p_order_id::text);
      INSERT INTO products_reservationitem (order_id, stock_id, quantity)
      VALUES (p_order_id, line.stock_id, line.quantity);
    ELSE
      missing := missing || jsonb_build_object(
        'product_id', line.product_id, 'variant_id', line.variant_id, 'requested', line.quantity,
        'available', coalesce((SELECT s.on_hand - s.reserved FROM products_stock s
                                WHERE s.id = line.stock_id), 0));
    END IF;
  END LOOP;
  IF missing <> '[]' THEN
    PERFORM problem(409, 'insufficient_stock', jsonb_build_object('items', missing));
  END IF;
END
$$;

-- held -> committed; any later state stays.  Null: never heard of it.
CREATE FUNCTION commit_reservation(p_order_id bigint) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
  UPDATE products_reservation SET state = 'committed', updated_at = now()
   WHERE order_id = p_order_id AND state = 'held';
  RETURN (SELECT state FROM products_reservation WHERE order_id = p_order_id);
END
$$;

-- Gives back whatever is not consumed.  Before its hold: a tombstone, and the hold is refused.
CREATE FUNCTION release_reservation(p_order_id bigint) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  before text;
  item   record;
BEGIN
  INSERT INTO products_reservation (order_id, state) VALUES (p_order_id, 'released')
  ON CONFLICT DO NOTHING;
  SELECT state INTO STRICT before FROM products_reservation WHERE order_id = p_order_id FOR UPDATE;
  IF before NOT IN ('held', 'committed') THEN
    RETURN before;
  END IF;
  FOR item IN SELECT * FROM products_reservationitem
               WHERE order_id = p_order_id AND consumed < quantity ORDER BY stock_id LOOP
    PERFORM move_stock(item.stock_id, 0, item.consumed - item.quantity, 'release', p_order_id::text);
  END LOOP;
  UPDATE products_reservation SET state = 'released', updated_at = now() WHERE order_id = p_order_id;
  RETURN 'released';
END
$$;

-- Shipped: on_hand and reserved go down together.  p_reference names the shipment and makes the
-- call repeatable; p_items null stands for all that is left.
CREATE FUNCTION consume_reservation(p_order_id bigint, p_items jsonb, p_reference text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  current_state text;
  item          record;
BEGIN
  SELECT state INTO current_state FROM products_reservation WHERE order_id = p_order_id FOR UPDATE;
  -- Shipped before its confirmation was heard of is shipped all the same.
  IF current_state IS NULL OR current_state NOT IN ('held', 'committed') OR EXISTS (
       SELECT FROM products_reservationitem i JOIN products_stockmovement m USING (stock_id)
        WHERE i.order_id = p_order_id AND m.cause = 'consume' AND m.reference = p_reference) THEN
    RETURN current_state;
  END IF;
  FOR item IN SELECT i.stock_id, least(i.quantity - i.consumed, coalesce(l.quantity, i.quantity)) AS quantity
                FROM products_reservationitem i
                JOIN products_stock s ON s.id = i.stock_id -- whatever became of the product since
                LEFT JOIN (SELECT r.product_id, r.variant_id, sum(r.quantity)::integer AS quantity
                             FROM jsonb_to_recordset(coalesce(p_items, '[]'))
                                  AS r(product_id bigint, variant_id bigint, quantity integer)
                            GROUP BY r.product_id, r.variant_id) l
                  ON l.product_id = s.product_id AND l.variant_id IS NOT DISTINCT FROM s.variant_id
               WHERE i.order_id = p_order_id AND (p_items IS NULL OR l.quantity IS NOT NULL)
               ORDER BY i.stock_id LOOP
    CONTINUE WHEN item.quantity <= 0;
    PERFORM move_stock(item.stock_id, -item.quantity, -item.quantity, 'consume', p_reference);
    UPDATE products_reservationitem SET consumed = consumed + item.quantity
     WHERE order_id = p_order_id AND stock_id = item.stock_id;
  END LOOP;
  UPDATE products_reservation SET state = 'consumed', updated_at = now()
   WHERE order_id = p_order_id
     AND NOT EXISTS (SELECT FROM products_reservationitem
                      WHERE order_id = p_order_id AND consumed < quantity);
  RETURN (SELECT state FROM products_reservation WHERE order_id = p_order_id);
END
$$;

-- What orders tells.  Repeated events are stopped by the inbox.
CREATE FUNCTION receive_event(p_event_id uuid, p_type text, p_order_id bigint, p_payload jsonb)
RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  IF NOT first_receipt(p_event_id, p_type) THEN
    RETURN false;
  END IF;
  CASE p_type
    WHEN 'order.confirmed' THEN PERFORM commit_reservation(p_order_id);
    WHEN 'order.released' THEN PERFORM release_reservation(p_order_id);
    WHEN 'order.shipped' THEN
      PERFORM consume_reservation(p_order_id, p_payload->'items', p_event_id::text);
    ELSE NULL; -- an event of a later version
  END CASE;
  RETURN true;
END
$$;
