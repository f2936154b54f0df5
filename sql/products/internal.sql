-- internal.sql: what siblings ask: prices, and the stock machine.

-- name: quote :json
SELECT json_build_object(
         'currency', CASE WHEN count(DISTINCT q.currency) = 1 THEN min(q.currency) END,
         'items', json_agg(json_build_object(
           'product_id', q.product_id, 'variant_id', q.variant_id, 'quantity', q.quantity,
           'status', q.status, 'sku', q.sku, 'name', q.name, 'image', q.image,
           'unit_price', money(q.price, q.currency), 'unit_minor', q.price, 'currency', q.currency,
           'available', q.available, 'in_stock', q.available > 0) ORDER BY q.place))
  FROM (SELECT i.product_id, i.variant_id, i.quantity, i.place,
               CASE WHEN p.id IS NULL THEN 'unknown'
                    WHEN i.variant_id IS NOT NULL AND v.id IS NULL THEN 'unknown_variant'
                    WHEN i.variant_id IS NULL AND stock.variant_count > 0 THEN 'needs_variant'
                    ELSE 'ok' END AS status,
               coalesce(v.sku, p.sku) AS sku,
               p.name || coalesce(' (' || v.name || ')', '') AS name,
               (SELECT m.url FROM products_productimage m WHERE m.product_id = p.id
                 ORDER BY m.position, m.id LIMIT 1) AS image,
               coalesce(v.price, p.price) AS price, p.currency,
               coalesce(s.on_hand - s.reserved, 0) AS available
          FROM ROWS FROM (jsonb_to_recordset(:items::jsonb)
                          AS (product_id bigint, variant_id bigint, quantity integer))
               WITH ORDINALITY AS i(product_id, variant_id, quantity, place)
          LEFT JOIN products_product p ON p.id = i.product_id AND p.is_active AND p.deleted_at IS NULL
          LEFT JOIN product_stock stock ON stock.product_id = p.id
          LEFT JOIN products_productvariant v
            ON v.id = i.variant_id AND v.product_id = p.id AND v.deleted_at IS NULL
          LEFT JOIN products_stock s
            ON s.product_id = p.id AND s.variant_id IS NOT DISTINCT FROM i.variant_id) q;

-- name: hold :json
SELECT json_build_object('order_id', :order_id::bigint, 'state', h.state),
       CASE WHEN h.is_new THEN 201 ELSE 200 END AS status
  FROM hold(:order_id::bigint, :items::jsonb) h;

-- name: commit_reservation :json
SELECT json_build_object('order_id', :id::bigint, 'state', state)
  FROM commit_reservation(:id::bigint) AS state WHERE state IS NOT NULL;

-- name: release_reservation :json
SELECT json_build_object('order_id', :id::bigint, 'state', state)
  FROM release_reservation(:id::bigint) AS state;

-- name: consume_reservation :json
SELECT json_build_object('order_id', :id::bigint, 'state', state)
  FROM consume_reservation(:id::bigint, :items::jsonb, :reference) AS state WHERE state IS NOT NULL;

-- name: show_reservation :json
SELECT json_build_object('order_id', order_id, 'state', state)
  FROM products_reservation WHERE order_id = :id::bigint;

-- name: receive_products_event :json
SELECT json_build_object('applied',
         receive_event(:event_id::uuid, :type, :aggregate_id::bigint, :payload::jsonb));
