-- Carts of users and guests.  A line keeps what it last heard of its product, so that a cart can
-- be shown while products is away; today's price and stock are always asked of products.

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
CREATE INDEX cart_left_by_guest ON cart_cart (updated_at) WHERE guest_hash IS NOT NULL;

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

-- As the house's, for what no bigint may hold: a million pieces at the highest price, and sums.
CREATE FUNCTION money(minor numeric, currency text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT round(minor / 10::numeric ^ decimals(currency), decimals(currency))::text
$$;

-- A line as the client sees it.  Where products could not be asked about it, today is null, and
-- so are available and in_stock.  One expression, so that the planner inlines it.
CREATE FUNCTION item_json(line cart_cartitem, today quote_line) RETURNS json
LANGUAGE sql STABLE AS $$
  SELECT json_build_object(
    'id', line.id, 'product_id', line.product_id, 'variant_id', line.variant_id,
    'sku', line.sku, 'name', line.name, 'image', line.image, 'quantity', line.quantity,
    'unit_price', money(line.unit_price, line.currency),
    'unit_price_at_add', money(line.unit_price_at_add, line.currency_at_add),
    'line_total', money(line.quantity * line.unit_price::numeric, line.currency),
    'available', CASE WHEN today.status = 'ok' THEN today.available
                      WHEN today.status IS NOT NULL THEN 0 END,
    'in_stock', today.status = 'ok' AND today.in_stock)
$$;

-- 400 under the field that names nothing that can be bought.
CREATE FUNCTION require_product(today quote_line) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF today.status = 'needs_variant' THEN
    PERFORM invalid('variant_id', 'This product has variants: choose one of them.');
  ELSIF today.status = 'unknown_variant' THEN
    PERFORM invalid('variant_id', format('Invalid pk "%s" - object does not exist.', today.variant_id));
  ELSIF today.status IS DISTINCT FROM 'ok' THEN
    PERFORM invalid('product_id', format('Invalid pk "%s" - object does not exist.', today.product_id));
  END IF;
END
$$;

-- 409 unless what is available covers the quantity.
CREATE FUNCTION require_stock(today quote_line, requested bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  available bigint := CASE WHEN today.status = 'ok' THEN today.available ELSE 0 END;
BEGIN
  IF requested > available THEN
    PERFORM problem(409, 'insufficient_stock', jsonb_build_object('items', jsonb_build_array(
      jsonb_build_object('product_id', today.product_id, 'variant_id', today.variant_id,
                         'requested', requested, 'available', available))));
  END IF;
END
$$;

-- The owner's cart: a user's, or with user_id null a guest's; null when there is none.  Its row
-- is locked first, here and wherever lines change: changes of one cart queue up behind it and
-- cannot deadlock.  Not now(): whoever had to wait is the later one.
CREATE FUNCTION lock_cart(p_user_id bigint, p_guest_hash text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  cart bigint;
BEGIN
  UPDATE cart_cart c SET updated_at = clock_timestamp()
   WHERE c.user_id = p_user_id OR c.guest_hash = p_guest_hash
  RETURNING c.id INTO cart;
  RETURN cart;
END
$$;

CREATE FUNCTION open_cart_of_user(p_user_id bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  cart bigint := lock_cart(p_user_id, NULL);
BEGIN
  IF cart IS NULL THEN
    INSERT INTO cart_cart AS c (user_id) VALUES (p_user_id)
    ON CONFLICT ON CONSTRAINT cart_of_user DO UPDATE SET updated_at = clock_timestamp()
    RETURNING c.id INTO cart;
  END IF;
  RETURN cart;
END
$$;

-- Each new guest clears away some carts that nobody has touched for 90 days, so that those of
-- guests who never came back do not pile up.
CREATE FUNCTION open_cart_of_guest(p_guest_hash text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  cart bigint;
BEGIN
  DELETE FROM cart_cart c
   WHERE c.id IN (SELECT o.id FROM cart_cart o
                   WHERE o.guest_hash IS NOT NULL AND o.updated_at < now() - interval '90 days'
                   ORDER BY o.updated_at LIMIT 10 FOR UPDATE SKIP LOCKED);
  INSERT INTO cart_cart AS c (guest_hash) VALUES (p_guest_hash) RETURNING c.id INTO cart;
  RETURN cart;
END
$$;

-- p_new_hash is for a guest who has no cart yet.
CREATE FUNCTION add_item(p_user_id bigint, p_guest_hash text, p_new_hash text, p_today jsonb,
                         OUT item json, OUT location text, OUT is_new_guest boolean)
LANGUAGE plpgsql AS $$
DECLARE
  today quote_line := jsonb_populate_record(NULL::quote_line, p_today);
  cart  bigint := lock_cart(p_user_id, p_guest_hash);
  line  cart_cartitem;
BEGIN
  PERFORM require_product(today);
  is_new_guest := cart IS NULL AND p_user_id IS NULL;
  IF is_new_guest THEN
    cart := open_cart_of_guest(p_new_hash);
  ELSIF cart IS NULL THEN
    cart := open_cart_of_user(p_user_id);
  END IF;

  SELECT i.* INTO line FROM cart_cartitem i
   WHERE i.cart_id = cart AND i.product_id = today.product_id
     AND i.variant_id IS NOT DISTINCT FROM today.variant_id;
  PERFORM require_stock(today, coalesce(line.quantity, 0) + today.quantity);

  INSERT INTO cart_cartitem AS i (cart_id, product_id, variant_id, quantity, unit_price_at_add,
                                  currency_at_add, sku, name, image, unit_price, currency)
  VALUES (cart, today.product_id, today.variant_id, today.quantity, today.unit_minor,
          today.currency, today.sku, today.name, today.image, today.unit_minor, today.currency)
  ON CONFLICT ON CONSTRAINT cart_line_taken DO UPDATE
     SET quantity = i.quantity + EXCLUDED.quantity, sku = EXCLUDED.sku, name = EXCLUDED.name,
         image = EXCLUDED.image, unit_price = EXCLUDED.unit_price, currency = EXCLUDED.currency,
         is_gone = false
  RETURNING i.* INTO line;

  PERFORM require_room(cart);
  item := item_json(line, today);
  location := format('/api/v1/cart/items/%s/', line.id);
END
$$;

-- 409 for a line too many; what is gone, and seen by nobody, makes room.
CREATE FUNCTION require_room(p_cart bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF (SELECT count(*) FROM cart_cartitem i WHERE i.cart_id = p_cart) > 100 THEN
    DELETE FROM cart_cartitem i WHERE i.cart_id = p_cart AND i.is_gone;
    IF (SELECT count(*) FROM cart_cartitem i WHERE i.cart_id = p_cart) > 100 THEN
      PERFORM problem(409, 'cart_full');
    END IF;
  END IF;
END
$$;

-- The line with its new quantity; null when there is no such line in the owner's cart.
CREATE FUNCTION set_quantity(p_user_id bigint, p_guest_hash text, p_item_id bigint, p_today jsonb)
RETURNS json LANGUAGE plpgsql AS $$
DECLARE
  today quote_line := jsonb_populate_record(NULL::quote_line, p_today);
  cart  bigint := lock_cart(p_user_id, p_guest_hash);
  line  cart_cartitem;
BEGIN
  IF NOT EXISTS (SELECT FROM cart_cartitem i WHERE i.id = p_item_id AND i.cart_id = cart) THEN
    RETURN NULL;
  END IF;

  PERFORM require_stock(today, today.quantity);
  UPDATE cart_cartitem i SET quantity = today.quantity, sku = today.sku, name = today.name,
                             image = today.image, unit_price = today.unit_minor,
                             currency = today.currency, is_gone = false
   WHERE i.id = p_item_id AND i.cart_id = cart RETURNING i.* INTO line;
  RETURN item_json(line, today);
END
$$;

-- Moves a guest's lines into the user's cart and ends the guest's.  It never fails, so that
-- nobody is stopped at sign-in: a line ends at the most that one can hold, a cart keeps 100, the
-- user's own and the guest's oldest; what stock does not cover the cart tells as a change.  Lines
-- of both stay the user's, with the price at which they were added there.
--
-- The guest's row is locked before the user's: of several at once one finds it, and those who
-- want the same carts never wait for one another in a circle.
CREATE FUNCTION merge_carts(p_user_id bigint, p_guest_hash text, p_strategy text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  guest bigint;
  cart  bigint;
  moved bigint[];
BEGIN
  SELECT c.id INTO guest FROM cart_cart c WHERE c.guest_hash = p_guest_hash FOR UPDATE;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  cart := open_cart_of_user(p_user_id);

  WITH known AS (
    UPDATE cart_cartitem i
       SET quantity = CASE p_strategy WHEN 'sum' THEN least(i.quantity + g.quantity, 1000000)
                                      ELSE greatest(i.quantity, g.quantity) END,
           is_gone = i.is_gone AND g.is_gone
      FROM cart_cartitem g
     WHERE i.cart_id = cart AND g.cart_id = guest AND g.product_id = i.product_id
       AND g.variant_id IS NOT DISTINCT FROM i.variant_id
    RETURNING g.id
  ), others AS (
    UPDATE cart_cartitem g SET cart_id = cart
     WHERE g.cart_id = guest AND g.id NOT IN (SELECT k.id FROM known k)
    RETURNING g.id
  )
  SELECT array_agg(o.id) INTO moved FROM others o;
  DELETE FROM cart_cart c WHERE c.id = guest;

  DELETE FROM cart_cartitem i
   WHERE i.id IN (SELECT k.id FROM cart_cartitem k WHERE k.cart_id = cart
                   ORDER BY k.is_gone, k.id = ANY (moved), k.id OFFSET 100);
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

  cart := lock_cart(p_user_id, NULL);
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
