-- fulfilment.sql: staff moves an order on; shipments.

-- name: change_order_status :row
SELECT change_status(:id::bigint, :status, :user_id::bigint, coalesce(:note, '')) AS changed;

-- name: ship_order :row
SELECT sid, format('/api/v1/orders/%s/shipments/%s/', :id::bigint, sid) AS location
  FROM ship_order(:id::bigint, :items::jsonb, :carrier, coalesce(:tracking_number, ''), :user_id::bigint) AS sid
 WHERE sid IS NOT NULL;

-- name: change_shipment :row
SELECT sid FROM change_shipment(:id::bigint, :sid::bigint, :status, :user_id::bigint) AS sid
 WHERE sid IS NOT NULL;

-- name: list_shipments :list
SELECT s.id, s.entry
  FROM shipment_entry s
 WHERE s.order_id = :id::bigint
--order default id bigint
--given
EXISTS (SELECT FROM orders_order o
         WHERE o.id = :id::bigint AND (o.user_id = :user_id::bigint OR :is_staff::boolean))
--show
page.entry;

-- name: show_shipment :json
SELECT s.entry
  FROM shipment_entry s
  JOIN orders_order o ON o.id = s.order_id
 WHERE s.id = :sid::bigint AND o.id = :id::bigint
   AND (o.user_id = :user_id::bigint OR :is_staff::boolean);
