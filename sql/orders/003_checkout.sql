-- 003_checkout.sql: from a basket to an order, step by step (architecture.md 6.2).

-- The members of an address, whoever wrote it down.
CREATE FUNCTION address_copy(p_address jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN jsonb_build_object(
    'name', p_address ->> 'name', 'line1', p_address ->> 'line1', 'line2', coalesce(p_address ->> 'line2', ''),
    'city', p_address ->> 'city', 'region', coalesce(p_address ->> 'region', ''),
    'postal_code', p_address ->> 'postal_code', 'country', p_address ->> 'country',
    'phone', coalesce(p_address ->> 'phone', ''));
END
$$;

-- Errors are objects of lists, as the wire has them; none is '{}'.
CREATE FUNCTION field_error(p_field text, p_message text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN jsonb_build_object(p_field, jsonb_build_array(p_message));
END
$$;

CREATE FUNCTION address_errors(p_request jsonb, p_user jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  errors jsonb := '{}';
BEGIN
  IF p_request -> 'shipping_address' IS NULL AND p_request -> 'shipping_address_id' IS NULL THEN
    errors := errors || field_error('shipping_address', 'This field is required.');
  ELSIF p_request ? 'shipping_address' AND p_request ? 'shipping_address_id' THEN
    errors := errors || field_error('shipping_address_id', 'Give either an address or the id of one.');
  ELSIF p_request ? 'shipping_address_id' AND jsonb_typeof(p_user -> 'address') IS DISTINCT FROM 'object' THEN
    errors := errors || field_error('shipping_address_id', format('Invalid pk "%s" - object does not exist.',
                                                                  p_request ->> 'shipping_address_id'));
  END IF;
  RETURN errors;
END
$$;

-- p_items is the answer of products: one entry for each line, in the order asked.
CREATE FUNCTION line_errors(p_items jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  missing constant text := 'Invalid pk "%s" - object does not exist.';
BEGIN
  RETURN (
    SELECT coalesce(jsonb_object_agg(format('items[%s].%s', l.at - 1, e.field), jsonb_build_array(e.message)), '{}')
      FROM jsonb_array_elements(p_items) WITH ORDINALITY AS l (item, at)
     CROSS JOIN LATERAL (
       SELECT CASE l.item ->> 'status' WHEN 'unknown' THEN 'product_id' ELSE 'variant_id' END AS field,
              CASE l.item ->> 'status'
                WHEN 'unknown' THEN format(missing, l.item ->> 'product_id')
                WHEN 'unknown_variant' THEN format(missing, l.item ->> 'variant_id')
                ELSE 'This field is required.' END AS message
        WHERE l.item ->> 'status' <> 'ok'
       UNION ALL
       SELECT 'quantity', 'Ensure that the quantities of equal lines are at most 10000 together.'
         FROM jsonb_array_elements(p_items) o (item)
        WHERE l.item ->> 'status' = 'ok' AND o.item -> 'product_id' = l.item -> 'product_id'
          AND o.item -> 'variant_id' IS NOT DISTINCT FROM l.item -> 'variant_id'
       HAVING sum((o.item ->> 'quantity')::integer) > 10000) e);
END
$$;

-- Equal lines are one line of the order.
CREATE FUNCTION summed_lines(p_items jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN (
    SELECT jsonb_agg(to_jsonb(s) - 'at' ORDER BY s.at)
      FROM (SELECT i.product_id, i.variant_id, min(i.sku) AS sku, min(i.name) AS name,
                   sum(i.quantity) AS quantity, min(i.unit_minor) AS unit_price, min(l.at) AS at
              FROM jsonb_array_elements(p_items) WITH ORDINALITY AS l (item, at)
             CROSS JOIN LATERAL jsonb_to_record(l.item) AS i (product_id bigint, variant_id bigint, sku text,
                                                              name text, quantity integer, unit_minor bigint)
             GROUP BY i.product_id, i.variant_id) s);
END
$$;

-- The total, judged: what the client expected, what can be charged at all.
CREATE FUNCTION checked_total(p_lines jsonb, p_currency text, p_expected text, p_minimum bigint) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  total   numeric := (SELECT sum((l ->> 'quantity')::numeric * (l ->> 'unit_price')::numeric)
                        FROM jsonb_array_elements(p_lines) AS l);
  -- Stripe takes eight digits: of hundredths where we count whole crowns, of whole ariary where we
  -- count hundredths.
  maximum bigint  := CASE WHEN p_currency IN ('ISK', 'UGX') THEN 999999
                          WHEN p_currency = 'MGA' THEN 9999999900 ELSE 99999999 END;
BEGIN
  maximum := maximum - maximum % charge_step(p_currency);
  IF total > maximum THEN
    PERFORM problem(400, 'amount_too_large', jsonb_build_object('maximum', money(maximum, p_currency),
                                                                'currency', p_currency));
  END IF;
  IF total % charge_step(p_currency) <> 0 THEN
    PERFORM invalid('items', format('The total must be a multiple of %s.', money(charge_step(p_currency), p_currency)));
  END IF;
  IF p_expected IS NOT NULL AND minor_units(p_expected, p_currency, 'expected_total') <> total THEN
    PERFORM problem(409, 'price_changed', jsonb_build_object('total', money(total::bigint, p_currency),
                                                             'currency', p_currency));
  END IF;
  IF total > 0 AND total < p_minimum THEN
    PERFORM problem(400, 'amount_too_small', jsonb_build_object('minimum', money(p_minimum, p_currency),
                                                                'currency', p_currency));
  END IF;
  RETURN total;
END
$$;

-- Judges the request against what users and products said and notes down what the order will
-- be: nothing asked later has a say in its prices or addresses.  Returns the order's id.
CREATE FUNCTION begin_saga(p_user_id bigint, p_key text, p_request jsonb, p_user jsonb, p_quote jsonb,
                           p_minimum bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
  request  jsonb := jsonb_strip_nulls(p_request); -- null stands for left out
  errors   jsonb := address_errors(request, p_user) || line_errors(p_quote -> 'items');
  currency text  := p_quote ->> 'currency';
  shipping jsonb := address_copy(coalesce(request -> 'shipping_address', p_user -> 'address'));
  lines    jsonb := summed_lines(p_quote -> 'items');
  began    bigint;
BEGIN
  IF errors = '{}' AND currency IS NULL THEN
    errors := field_error('items', 'All items must have the same currency.');
  END IF;
  IF errors <> '{}' THEN
    PERFORM problem(400, 'invalid', jsonb_build_object('errors', errors));
  END IF;
  INSERT INTO orders_saga (user_id, idempotency_key, request, quote)
  VALUES (p_user_id, p_key, request, jsonb_build_object(
    'items', lines, 'currency', currency,
    'total', checked_total(lines, currency, request ->> 'expected_total', p_minimum),
    'from_cart', NOT request ? 'items', 'email', coalesce(p_user ->> 'email', ''),
    'shipping_address', shipping,
    'billing_address', CASE WHEN request -> 'billing_address' IS NULL THEN shipping
                            ELSE address_copy(request -> 'billing_address') END))
  RETURNING orders_saga.order_id INTO began;
  RETURN began;
END
$$;

-- What an earlier request with this key left: nothing (null), or the checkout to go on with.
-- One that was undone does not count, nor one from before the key's 24 hours.
CREATE FUNCTION resume_saga(p_user_id bigint, p_key text, p_request jsonb, OUT order_id bigint, OUT state text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  known orders_saga;
BEGIN
  UPDATE orders_saga s SET idempotency_key = NULL
   WHERE s.user_id = p_user_id AND s.idempotency_key = p_key
     AND s.created_at < now() - interval '24 hours';
  SELECT * INTO known FROM orders_saga s
   WHERE s.user_id = p_user_id AND s.idempotency_key = p_key AND s.state IN ('reserving', 'placed')
     FOR UPDATE;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  IF known.request <> jsonb_strip_nulls(p_request) THEN
    PERFORM problem(422, 'idempotency_key_reused');
  END IF;
  -- Keeps the settling of abandoned checkouts away while this one is at work again.
  UPDATE orders_saga s SET updated_at = now() WHERE s.order_id = known.order_id;
  order_id := known.order_id;
  state := known.state;
END
$$;

CREATE FUNCTION insert_order(p_saga orders_saga, p_seconds integer) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  total bigint := (p_saga.quote ->> 'total')::bigint;
BEGIN
  INSERT INTO orders_order (id, user_id, email, payment_status, currency, subtotal, total, from_cart,
                            shipping_address, billing_address, notes, reserved_until)
  VALUES (p_saga.order_id, p_saga.user_id, p_saga.quote ->> 'email',
          CASE total WHEN 0 THEN 'paid' ELSE 'requires_payment' END,
          p_saga.quote ->> 'currency', total, total, (p_saga.quote ->> 'from_cart')::boolean,
          p_saga.quote -> 'shipping_address', p_saga.quote -> 'billing_address',
          coalesce(p_saga.request ->> 'notes', ''), now() + make_interval(secs => p_seconds));
  INSERT INTO orders_orderitem (order_id, product_id, variant_id, sku, name, quantity, unit_price, total)
  SELECT p_saga.order_id, i.product_id, i.variant_id, i.sku, i.name, i.quantity, i.unit_price,
         i.quantity * i.unit_price
    FROM jsonb_array_elements(p_saga.quote -> 'items') WITH ORDINALITY AS l (item, at)
   CROSS JOIN LATERAL jsonb_to_record(l.item) AS i (product_id bigint, variant_id bigint, sku text, name text,
                                                    quantity integer, unit_price bigint)
   ORDER BY l.at;
  INSERT INTO orders_orderhistory (order_id, status, actor, actor_id)
  VALUES (p_saga.order_id, 'pending', 'customer', p_saga.user_id);
END
$$;

-- The order, as soon as its stock is held.  state is the saga's: unless it is placed, the hold
-- is being undone and there is no order.  charge is what payments is to be asked, null for
-- nothing; the same checkout always asks under the same request_key.
CREATE FUNCTION place_order(p_order_id bigint, p_seconds integer, OUT state text, OUT status text, OUT charge jsonb)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  saga   orders_saga;
  placed orders_order;
BEGIN
  SELECT * INTO STRICT saga FROM orders_saga s WHERE s.order_id = p_order_id FOR UPDATE;
  IF saga.state = 'reserving' THEN
    PERFORM insert_order(saga, p_seconds);
    UPDATE orders_saga s SET state = 'placed', updated_at = now() WHERE s.order_id = p_order_id;
    IF (saga.quote ->> 'total')::bigint = 0 THEN
      PERFORM set_status(p_order_id, 'confirmed', 'system', 'nothing to pay');
    END IF;
    saga.state := 'placed';
  END IF;
  state := saga.state;
  IF state <> 'placed' THEN
    RETURN;
  END IF;
  PERFORM extend_clock(p_order_id, p_seconds);
  SELECT * INTO STRICT placed FROM orders_order o WHERE o.id = p_order_id;
  status := placed.status;
  IF status NOT IN ('cancelled', 'expired') AND placed.total > 0 AND saga.request ? 'payment_method' THEN
    charge := jsonb_build_object(
      'order_id', placed.id, 'user_id', placed.user_id, 'amount', placed.total, 'currency', placed.currency,
      'payment_method', saga.request ->> 'payment_method', 'return_url', NULL,
      'request_key', 'checkout-' || placed.id);
  END IF;
END
$$;
