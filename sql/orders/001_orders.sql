-- 001_orders.sql: what an order is: its tables, its table of transitions, its events.

-- An id is drawn when a checkout begins, before there is an order: stock is held in its name.
CREATE SEQUENCE orders_order_id_seq AS bigint;

-- How far a checkout came (architecture.md 6.2, 6.3).  No route shows it.  request is the body
-- as it was sent, quote all that the order will be made of.
CREATE TABLE orders_saga (
  order_id        bigint      PRIMARY KEY DEFAULT nextval('orders_order_id_seq'),
  user_id         bigint      NOT NULL,
  idempotency_key text,       -- null once the key may be used anew
  request         jsonb       NOT NULL,
  quote           jsonb       NOT NULL,
  state           text        NOT NULL DEFAULT 'reserving'
                              CONSTRAINT saga_state_unknown
                              CHECK (state IN ('reserving', 'placed', 'undoing', 'undone')),
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now()
);
ALTER SEQUENCE orders_order_id_seq OWNED BY orders_saga.order_id;

-- One live checkout for each key; one that was undone frees it.
CREATE UNIQUE INDEX checkout_repeated ON orders_saga (user_id, idempotency_key)
 WHERE state IN ('reserving', 'placed');
CREATE INDEX orders_saga_unfinished ON orders_saga (updated_at)
 WHERE state IN ('reserving', 'undoing');

-- The table of api.md section 5.  A transition is open to the named actors; event is what it
-- tells siblings, action how allowed_actions calls it.
CREATE TABLE orders_transition (
  from_status text   NOT NULL,
  to_status   text   NOT NULL,
  action      text   NOT NULL,
  actors      text[] NOT NULL,
  event       text,
  PRIMARY KEY (from_status, to_status)
);
INSERT INTO orders_transition (from_status, to_status, action, actors, event) VALUES
  ('pending',    'confirmed',  'confirm', '{system}',                'order.confirmed'),
  ('pending',    'expired',    'expire',  '{system}',                'order.released'),
  ('pending',    'cancelled',  'cancel',  '{customer,staff,system}', 'order.released'),
  ('confirmed',  'processing', 'process', '{staff}',                 NULL),
  ('confirmed',  'cancelled',  'cancel',  '{customer,staff}',        'order.released'),
  ('processing', 'shipped',    'ship',    '{staff,system}',          NULL),
  ('processing', 'cancelled',  'cancel',  '{staff}',                 'order.released'),
  ('shipped',    'delivered',  'deliver', '{staff,system}',          NULL);

INSERT INTO event_subscriber (type, subscriber) VALUES
  ('order.confirmed', 'products'),
  ('order.confirmed', 'cart'),
  ('order.released',  'products'),
  ('order.shipped',   'products');

-- Ten characters of Crockford's base 32, fifty random bits: short enough to read out, and says
-- nothing of how many orders there are.  Bytes 6 and 8 of a UUID are not wholly random.
CREATE FUNCTION order_number() RETURNS text
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  bytes bytea := uuid_send(gen_random_uuid());
BEGIN
  RETURN (SELECT string_agg(substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', get_byte(bytes, at) % 32 + 1, 1), '')
            FROM unnest('{0,1,2,3,4,5,9,10,11,12}'::integer[]) AS at);
END
$$;

-- Money in minor units of the currency.  E-mail and addresses are copies of the day.
CREATE TABLE orders_order (
  id                 bigint      PRIMARY KEY REFERENCES orders_saga,
  number             text        NOT NULL DEFAULT order_number() CONSTRAINT number_taken UNIQUE,
  user_id            bigint      NOT NULL,
  email              text        NOT NULL,
  status             text        NOT NULL DEFAULT 'pending'
                                 CONSTRAINT order_status_unknown
                                 CHECK (status IN ('pending', 'confirmed', 'processing', 'shipped',
                                                   'delivered', 'cancelled', 'expired')),
  payment_status     text        NOT NULL DEFAULT 'requires_payment'
                                 CONSTRAINT payment_status_unknown
                                 CHECK (payment_status IN ('requires_payment', 'processing', 'paid',
                                                           'partially_refunded', 'refunded', 'failed')),
  fulfillment_status text        NOT NULL DEFAULT 'unfulfilled'
                                 CONSTRAINT fulfillment_status_unknown
                                 CHECK (fulfillment_status IN ('unfulfilled', 'partially_shipped', 'shipped',
                                                               'partially_delivered', 'delivered', 'cancelled')),
  currency           text        NOT NULL CONSTRAINT order_currency_malformed CHECK (currency ~ '^[A-Z]{3}$'),
  subtotal           bigint      NOT NULL,
  discount_total     bigint      NOT NULL DEFAULT 0,
  shipping_total     bigint      NOT NULL DEFAULT 0,
  tax_total          bigint      NOT NULL DEFAULT 0,
  total              bigint      NOT NULL,
  from_cart          boolean     NOT NULL,
  shipping_address   jsonb       NOT NULL,
  billing_address    jsonb       NOT NULL,
  notes              text        NOT NULL DEFAULT '',
  reserved_until     timestamptz NOT NULL,
  payment_id         bigint,
  payment_version    bigint      NOT NULL DEFAULT 0,     -- of the last payments' event that was applied
  payment_cancel_due boolean     NOT NULL DEFAULT false, -- payments is still to be asked to cancel
  version            bigint      NOT NULL DEFAULT 1,
  created_at         timestamptz NOT NULL DEFAULT now(),
  updated_at         timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT order_total_mismatch CHECK (total = subtotal - discount_total + shipping_total + tax_total),
  CONSTRAINT order_total_negative CHECK (least(subtotal, discount_total, shipping_total, tax_total, total) >= 0),
  CONSTRAINT order_clock_too_long CHECK (reserved_until <= created_at + interval '24 hours'),
  CONSTRAINT order_not_paid CHECK (status NOT IN ('confirmed', 'processing', 'shipped', 'delivered')
                                   OR payment_status IN ('paid', 'partially_refunded', 'refunded'))
);
CREATE INDEX orders_order_of_user ON orders_order (user_id, id DESC);
CREATE INDEX orders_order_of_status ON orders_order (status, id);
CREATE INDEX orders_order_running_out ON orders_order (reserved_until) WHERE status = 'pending';
CREATE INDEX orders_order_payment_cancel_due ON orders_order (updated_at) WHERE payment_cancel_due;
CREATE INDEX orders_order_created ON orders_order (created_at);

CREATE TABLE orders_orderitem (
  id               bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  order_id         bigint  NOT NULL REFERENCES orders_order,
  product_id       bigint  NOT NULL,
  variant_id       bigint,
  sku              text,    -- null where the product had none
  name             text    NOT NULL,
  quantity         integer NOT NULL CONSTRAINT item_quantity_out_of_range CHECK (quantity BETWEEN 1 AND 10000),
  unit_price       bigint  NOT NULL CONSTRAINT item_price_negative CHECK (unit_price >= 0),
  total            bigint  NOT NULL,
  shipped_quantity integer NOT NULL DEFAULT 0,
  CONSTRAINT item_total_mismatch CHECK (total = quantity * unit_price),
  CONSTRAINT quantity_exceeded CHECK (shipped_quantity BETWEEN 0 AND quantity)
);
CREATE UNIQUE INDEX item_repeated ON orders_orderitem (order_id, product_id, coalesce(variant_id, 0));
CREATE INDEX ON orders_orderitem (product_id);

-- An order is the sum of its lines.  No CHECK sees two tables, so this one looks at the commit.
CREATE FUNCTION check_order_lines() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
  changed bigint := CASE TG_TABLE_NAME WHEN 'orders_order' THEN (to_jsonb(NEW) ->> 'id')::bigint
                                       ELSE (to_jsonb(coalesce(NEW, OLD)) ->> 'order_id')::bigint END;
BEGIN
  IF (SELECT o.subtotal FROM orders_order o WHERE o.id = changed) IS DISTINCT FROM
     (SELECT sum(i.total) FROM orders_orderitem i WHERE i.order_id = changed) THEN
    PERFORM problem(409, 'order_lines_mismatch');
  END IF;
  RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER order_lines_mismatch AFTER INSERT OR UPDATE OF subtotal ON orders_order
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_order_lines();
CREATE CONSTRAINT TRIGGER order_lines_mismatch AFTER INSERT OR DELETE OR UPDATE OF total, order_id ON orders_orderitem
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_order_lines();

-- Only along the transitions, and each status once: no status is ever come back to.
CREATE TABLE orders_orderhistory (
  id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  order_id    bigint      NOT NULL REFERENCES orders_order,
  from_status text,       -- null for the first
  status      text        NOT NULL,
  note        text        NOT NULL DEFAULT '',
  actor       text        NOT NULL CONSTRAINT actor_unknown CHECK (actor IN ('customer', 'staff', 'system')),
  actor_id    bigint,     -- the user; null for the system
  at          timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT order_status_repeated UNIQUE (order_id, status),
  CONSTRAINT invalid_transition FOREIGN KEY (from_status, status) REFERENCES orders_transition
);

CREATE TABLE orders_shipment (
  id              bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  order_id        bigint      NOT NULL REFERENCES orders_order,
  carrier         text        NOT NULL,            -- empty where staff did not say
  tracking_number text        NOT NULL DEFAULT '',
  tracking_url    text,
  status          text        NOT NULL DEFAULT 'shipped'
                              CONSTRAINT shipment_status_unknown
                              CHECK (status IN ('shipped', 'in_transit', 'delivered', 'lost')),
  shipped_at      timestamptz NOT NULL DEFAULT now(),
  delivered_at    timestamptz,
  CONSTRAINT shipment_delivery_mismatch CHECK ((status = 'delivered') = (delivered_at IS NOT NULL))
);
CREATE INDEX ON orders_shipment (order_id);

CREATE TABLE orders_shipmentitem (
  shipment_id   bigint  NOT NULL REFERENCES orders_shipment,
  order_item_id bigint  NOT NULL REFERENCES orders_orderitem,
  quantity      integer NOT NULL CONSTRAINT shipment_quantity_out_of_range CHECK (quantity > 0),
  PRIMARY KEY (shipment_id, order_item_id)
);
CREATE INDEX ON orders_shipmentitem (order_item_id);
