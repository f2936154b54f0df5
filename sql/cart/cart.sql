-- cart.sql: what the cart service asks of its own tables.  A cart is that of :user_id or, with
-- that null, the guest's of :guest_hash; the handler sets one of them at most.  :quote is
-- products' answer of today, null while products cannot be asked.

-- name: get_question :row
-- What to ask products for; no row for an empty cart.
SELECT jsonb_build_object('items', jsonb_agg(jsonb_build_object('product_id', i.product_id,
                          'variant_id', i.variant_id, 'quantity', i.quantity))) AS question
  FROM cart_cart c JOIN cart_cartitem i ON i.cart_id = c.id
 WHERE c.user_id = :user_id::bigint OR c.guest_hash = :guest_hash
HAVING count(*) > 0;

-- name: get_item_question :row
SELECT jsonb_build_object('items', jsonb_build_array(jsonb_build_object('product_id', i.product_id,
                          'variant_id', i.variant_id,
                          'quantity', coalesce(:quantity::bigint, i.quantity)))) AS question
  FROM cart_cart c JOIN cart_cartitem i ON i.cart_id = c.id
 WHERE (c.user_id = :user_id::bigint OR c.guest_hash = :guest_hash) AND i.id = :id::bigint;

-- name: remember_quote :none
-- A line is gone while products knows nothing at all of its product or variant.
WITH quoted AS (
  SELECT q.*, q.status = 'unknown_variant' OR q.status = 'unknown' AND q.name IS NULL AS is_gone
    FROM jsonb_populate_recordset(NULL::quote_line, :quote::jsonb -> 'items') q
), news AS (
  SELECT i.id, i.cart_id, q.status, q.is_gone, q.sku, q.name, q.image, q.unit_minor, q.currency
    FROM cart_cart c JOIN cart_cartitem i ON i.cart_id = c.id
    JOIN quoted q ON q.product_id = i.product_id AND q.variant_id IS NOT DISTINCT FROM i.variant_id
   WHERE (c.user_id = :user_id::bigint OR c.guest_hash = :guest_hash)
     AND (i.is_gone <> q.is_gone
          OR q.status = 'ok' AND (i.sku, i.name, i.image, i.unit_price, i.currency)
             IS DISTINCT FROM (q.sku, q.name, q.image, q.unit_minor, q.currency))
), cart AS ( -- its row is locked before its lines', as everywhere, but not for nothing
  SELECT c.id FROM cart_cart c WHERE c.id IN (SELECT n.cart_id FROM news n) FOR UPDATE
)
UPDATE cart_cartitem i
   SET sku = CASE n.status WHEN 'ok' THEN n.sku ELSE i.sku END,
       name = CASE n.status WHEN 'ok' THEN n.name ELSE i.name END,
       image = CASE n.status WHEN 'ok' THEN n.image ELSE i.image END,
       unit_price = CASE n.status WHEN 'ok' THEN n.unit_minor ELSE i.unit_price END,
       currency = CASE n.status WHEN 'ok' THEN n.currency ELSE i.currency END,
       is_gone = n.is_gone
  FROM cart c, news n
 WHERE i.cart_id = c.id AND i.id = n.id;

-- name: show_cart :json
-- A line that products was not asked about, or that came after it was asked, makes it stale.
WITH line AS (
  SELECT i AS item, i.*, q AS today, q.status, q.available
    FROM cart_cart c
    JOIN cart_cartitem i ON i.cart_id = c.id
    LEFT JOIN jsonb_populate_recordset(NULL::quote_line, :quote::jsonb -> 'items') q
      ON q.product_id = i.product_id AND q.variant_id IS NOT DISTINCT FROM i.variant_id
   WHERE c.user_id = :user_id::bigint OR c.guest_hash = :guest_hash
), change AS (
  SELECT l.id, l.product_id, k.*
    FROM line l CROSS JOIN LATERAL (VALUES
      ('price_up', l.unit_price > l.unit_price_at_add AND l.currency = l.currency_at_add AND NOT l.is_gone,
       to_jsonb(money(l.unit_price_at_add, l.currency_at_add)), to_jsonb(money(l.unit_price, l.currency))),
      ('price_down', l.unit_price < l.unit_price_at_add AND l.currency = l.currency_at_add AND NOT l.is_gone,
       to_jsonb(money(l.unit_price_at_add, l.currency_at_add)), to_jsonb(money(l.unit_price, l.currency))),
      ('insufficient_stock', l.status = 'ok' AND l.quantity > l.available,
       to_jsonb(l.quantity), to_jsonb(l.available)),
      ('unavailable', l.status <> 'ok' OR l.is_gone, to_jsonb(l.quantity), to_jsonb(0))
    ) AS k(kind, happened, was, becomes)
   WHERE k.happened
), total AS (
  SELECT coalesce(sum(l.quantity), 0) AS item_count, count(DISTINCT l.currency) AS currencies,
         min(l.currency) AS currency, coalesce(sum(l.quantity * l.unit_price::numeric), 0) AS subtotal
    FROM line l WHERE NOT l.is_gone
)
SELECT json_build_object(
  'id', c.id,
  'items', coalesce((SELECT json_agg(item_json(l.item, l.today) ORDER BY l.id)
                       FROM line l WHERE NOT l.is_gone), '[]'),
  'item_count', t.item_count,
  -- Amounts in several currencies have no sum.
  'subtotal', CASE WHEN t.currencies < 2 THEN money(t.subtotal, coalesce(t.currency, :shop_currency)) END,
  'currency', CASE WHEN t.currencies < 2 THEN coalesce(t.currency, :shop_currency) END,
  'changes', coalesce((SELECT json_agg(json_build_object('item_id', h.id, 'product_id', h.product_id,
                         'kind', h.kind, 'from', h.was, 'to', h.becomes) ORDER BY h.id, h.kind)
                         FROM change h), '[]'),
  'stale', EXISTS (SELECT FROM line l WHERE l.status IS NULL),
  'updated_at', wire_time(c.updated_at)) AS cart
  FROM total t LEFT JOIN cart_cart c
    ON c.user_id = :user_id::bigint OR c.guest_hash = :guest_hash;

-- name: show_item :json
SELECT item_json(i, q)
  FROM cart_cart c
  JOIN cart_cartitem i ON i.cart_id = c.id
  LEFT JOIN jsonb_populate_recordset(NULL::quote_line, :quote::jsonb -> 'items') q
    ON q.product_id = i.product_id AND q.variant_id IS NOT DISTINCT FROM i.variant_id
 WHERE (c.user_id = :user_id::bigint OR c.guest_hash = :guest_hash)
   AND i.id = :id::bigint AND NOT i.is_gone;

-- name: add_item :row
SELECT item, location, is_new_guest
  FROM add_item(:user_id::bigint, :guest_hash, :new_hash, :quote::jsonb #> '{items,0}');

-- name: set_quantity :json
SELECT set_quantity(:user_id::bigint, :guest_hash, :id::bigint, :quote::jsonb #> '{items,0}');

-- name: remove_item :none
-- The cart's row is locked before the line's, as everywhere.
WITH cart AS (
  UPDATE cart_cart c SET updated_at = clock_timestamp()
   WHERE c.user_id = :user_id::bigint OR c.guest_hash = :guest_hash RETURNING c.id
)
DELETE FROM cart_cartitem i USING cart WHERE i.cart_id = cart.id AND i.id = :id::bigint;

-- name: clear_cart :none
WITH cart AS (
  UPDATE cart_cart c SET updated_at = clock_timestamp()
   WHERE c.user_id = :user_id::bigint OR c.guest_hash = :guest_hash RETURNING c.id
)
DELETE FROM cart_cartitem i USING cart WHERE i.cart_id = cart.id;

-- name: merge_carts :none
SELECT merge_carts(:user_id::bigint, :merged_hash, :strategy);

-- name: list_lines :json
-- What orders orders from: the user's lines but those that are gone.
SELECT json_build_object('items', coalesce(json_agg(json_build_object('product_id', i.product_id,
                         'variant_id', i.variant_id, 'quantity', i.quantity) ORDER BY i.id), '[]'))
  FROM cart_cart c JOIN cart_cartitem i ON i.cart_id = c.id
 WHERE c.user_id = :id::bigint AND NOT i.is_gone;

-- name: take_items :json
SELECT json_build_object('taken', take_items(:id::bigint, :order_id::bigint, :items::jsonb));

-- name: receive_cart_event :json
SELECT json_build_object('applied', receive_event(:event_id::uuid, :type, :payload::jsonb));
