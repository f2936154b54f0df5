-- Carts.  A line keeps what it last heard of its product, so that a cart can be shown while
-- products is away; today's price and stock are always asked of products.

-- One line of the answer to products' quote.
CREATE TYPE quote_line AS (
  product_id bigint,
  variant_id bigint,
  status     text, -- 'ok', 'unknown', 'unknown_variant', 'needs_variant'
  quantity   bigint,
  sku        text,
  name       text,
  image      text,
  unit_minor bigint,
  currency   text,
  available  bigint,
  in_stock   boolean
);

CREATE TABLE cart_cart (
  id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  user_id    bigint      CONSTRAINT cart_of_user UNIQUE,
  guest_hash text        CONSTRAINT cart_of_guest UNIQUE, -- SHA-256 of a guest's X-Cart-Token
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT cart_has_one_owner CHECK (num_nonnulls(user_id, guest_hash) = 1)
);

CREATE TABLE cart_cartitem (
  id                bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  cart_id           bigint      NOT NULL CONSTRAINT cart_in_use REFERENCES cart_cart ON DELETE CASCADE,
  product_id        bigint      NOT NULL,
  variant_id        bigint,
  quantity          integer     NOT NULL
                                CONSTRAINT quantity_not_positive CHECK (quantity >= 1)
                                CONSTRAINT quantity_too_large CHECK (quantity <= 1000000),
  unit_price_at_add bigint      NOT NULL CONSTRAINT price_at_add_negative CHECK (unit_price_at_add >= 0),
  currency_at_add   text        NOT NULL,
  -- Last known of the product.
  sku               text,
  name              text        NOT NULL,
  image             text,
  unit_price        bigint      NOT NULL CONSTRAINT price_negative CHECK (unit_price >= 0),
  currency          text        NOT NULL,
  is_gone           boolean     NOT NULL DEFAULT false, -- not shown, not ordered
  added_at          timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT cart_line_taken UNIQUE NULLS NOT DISTINCT (cart_id, product_id, variant_id)
);

-- Orders whose lines were taken off a cart: by event, by call, or both, but once.
CREATE TABLE cart_taken (
  order_id bigint      PRIMARY KEY,
  user_id  bigint      NOT NULL,
  taken_at timestamptz NOT NULL DEFAULT now()
);

-- A line as the client sees it.  Null for available and in_stock: products could not be asked.
-- One expression, so that the planner inlines it.
CREATE FUNCTION item_json(line cart_cartitem, available bigint, in_stock boolean) RETURNS json
LANGUAGE sql STABLE AS $$
  SELECT json_build_object(
    'id', line.id, 'product_id', line.product_id, 'variant_id', line.variant_id,
    'sku', line.sku, 'name', line.name, 'image', line.image, 'quantity', line.quantity,
    'unit_price', money(line.unit_price, line.currency),
    'unit_price_at_add', money(line.unit_price_at_add, line.currency_at_add),
    'line_total', money(line.quantity * line.unit_price, line.currency),
    'available', available, 'in_stock', in_stock)
$$;

-- 409 unless what is available covers the line.
CREATE FUNCTION require_stock(line cart_cartitem, today quote_line) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  available bigint := CASE WHEN today.status = 'ok' THEN today.available ELSE 0 END;
BEGIN
  IF line.quantity > available THEN
    PERFORM problem(409, 'insufficient_stock', jsonb_build_object('items', jsonb_build_array(
      jsonb_build_object('product_id', line.product_id, 'variant_id', line.variant_id,
                         'requested', line.quantity, 'available', available))));
  END IF;
END
$$;

-- The row of the cart is locked first, here and wherever lines change: changes of one cart
-- queue up behind it and cannot deadlock.
CREATE FUNCTION add_item(p_user_id bigint, p_today jsonb, OUT item json, OUT location text)
LANGUAGE plpgsql AS $$
DECLARE
  today quote_line := jsonb_populate_record(NULL::quote_line, p_today);
  cart  bigint;
  line  cart_cartitem;
BEGIN
  IF today.status = 'needs_variant' THEN
    PERFORM invalid('variant_id', 'This product has variants: choose one of them.');
  ELSIF today.status = 'unknown_variant' THEN
    PERFORM invalid('variant_id', format('Invalid pk "%s" - object does not exist.', today.variant_id));
  ELSIF today.status IS DISTINCT FROM 'ok' THEN
    PERFORM invalid('product_id', format('Invalid pk "%s" - object does not exist.', today.product_id));
  END IF;

  INSERT INTO cart_cart AS c (user_id) VALUES (p_user_id)
  ON CONFLICT ON CONSTRAINT cart_of_user DO UPDATE SET updated_at = now()
  RETURNING c.id INTO cart;

  INSERT INTO cart_cartitem AS i (cart_id, product_id, variant_id, quantity, unit_price_at_add,
                                  currency_at_add, sku, name, image, unit_price, currency)
  VALUES (cart, today.product_id, today.variant_id, today.quantity, today.unit_minor,
          today.currency, today.sku, today.name, today.image, today.unit_minor, today.currency)
  ON CONFLICT ON CONSTRAINT cart_line_taken DO UPDATE
     SET quantity = i.quantity + EXCLUDED.quantity, sku = EXCLUDED.sku, name = EXCLUDED.name,
         image = EXCLUDED.image, unit_price = EXCLUDED.unit_price, currency = EXCLUDED.currency,
         is_gone = false
  RETURNING i.* INTO line;

  PERFORM require_stock(line, today);
  IF (SELECT count(*) FROM cart_cartitem i WHERE i.cart_id = cart) > 100 THEN
    PERFORM problem(409, 'cart_full');
  END IF;
  item := item_json(line, today.available, today.in_stock);
  location := format('/api/v1/cart/items/%s/', line.id);
END
$$;

-- The line with its new quantity; null when there is no such line in the user's cart.
CREATE FUNCTION set_quantity(p_user_id bigint, p_item_id bigint, p_quantity integer, p_today jsonb)
RETURNS json LANGUAGE plpgsql AS $$
DECLARE
  today quote_line := jsonb_populate_record(NULL::quote_line, p_today);
  cart  bigint;
  line  cart_cartitem;
BEGIN
  UPDATE cart_cart c SET updated_at = now() WHERE c.user_id = p_user_id RETURNING c.id INTO cart;
  UPDATE cart_cartitem i SET quantity = p_quantity
   WHERE i.id = p_item_id AND i.cart_id = cart RETURNING i.* INTO line;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;

  PERFORM require_stock(line, today);
  UPDATE cart_cartitem i SET sku = today.sku, name = today.name, image = today.image,
                             unit_price = today.unit_minor, currency = today.currency,
                             is_gone = false
   WHERE i.id = line.id RETURNING i.* INTO line;
  RETURN item_json(line, today.available, today.in_stock);
END
$$;

-- Takes an order's quantities off its user's cart, once for each order; what was added
-- meanwhile stays.  True when this call did it.
CREATE FUNCTION take_items(p_user_id bigint, p_order_id bigint, p_items jsonb) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  cart bigint;
BEGIN
  INSERT INTO cart_taken (order_id, user_id) VALUES (p_order_id, p_user_id) ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN
    RETURN false;
  END IF;

  UPDATE cart_cart c SET updated_at = now() WHERE c.user_id = p_user_id RETURNING c.id INTO cart;
  WITH ordered AS (
    SELECT o.product_id, o.variant_id, sum(o.quantity) AS quantity
      FROM jsonb_to_recordset(p_items) AS o(product_id bigint, variant_id bigint, quantity bigint)
     GROUP BY o.product_id, o.variant_id
  ), gone AS (
    DELETE FROM cart_cartitem i USING ordered o
     WHERE i.cart_id = cart AND i.product_id = o.product_id
       AND i.variant_id IS NOT DISTINCT FROM o.variant_id AND i.quantity <= o.quantity
  )
  UPDATE cart_cartitem i SET quantity = i.quantity - o.quantity
    FROM ordered o
   WHERE i.cart_id = cart AND i.product_id = o.product_id
     AND i.variant_id IS NOT DISTINCT FROM o.variant_id AND i.quantity > o.quantity;
  RETURN true;
END
$$;

-- True when the event took effect; a duplicate and an event of no concern here do not.
CREATE FUNCTION receive_event(p_event_id uuid, p_type text, p_payload jsonb) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  IF NOT first_receipt(p_event_id, p_type) THEN
    RETURN false;
  END IF;
  IF p_type <> 'order.confirmed' OR NOT coalesce((p_payload ->> 'from_cart')::boolean, false) THEN
    RETURN false;
  END IF;
  RETURN take_items((p_payload ->> 'user_id')::bigint, (p_payload ->> 'order_id')::bigint,
                    p_payload -> 'items');
END
$$;
