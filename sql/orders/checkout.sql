-- checkout.sql: the steps of placing an order.

-- name: resume_saga :row
SELECT order_id, state
  FROM resume_saga(:user_id::bigint, :idempotency_key, :body::jsonb);

-- name: begin_saga :row
SELECT begin_saga(:user_id::bigint, :idempotency_key, :body::jsonb, :account::jsonb, :quote::jsonb,
                  :minimum::bigint) AS order_id;

-- name: get_hold :row
-- What products is to hold.
SELECT jsonb_build_object('order_id', s.order_id, 'items',
                          (SELECT jsonb_agg(i - '{sku,name,unit_price}'::text[])
                             FROM jsonb_array_elements(s.quote -> 'items') AS i)) AS hold
  FROM orders_saga s
 WHERE s.order_id = :order_id::bigint;

-- name: end_saga :none
-- to_state undone: nothing was held.  undoing: something may be, `run` lets it go.
UPDATE orders_saga
   SET state = :to_state, updated_at = now()
 WHERE order_id = :order_id::bigint AND state = 'reserving';

-- name: place_order :row
SELECT state, status, charge
  FROM place_order(:order_id::bigint, :reservation_seconds::integer);

-- name: show_placed :json
SELECT e.entry, '/api/v1/orders/' || e.id || '/' AS location
  FROM order_entry e
 WHERE e.id = :order_id::bigint AND e.is_owner AND e.is_staff = :is_staff::boolean;

-- name: show_charged :json
-- 201 when the customer knows where the order stands, 202 while the outcome is open.
SELECT e.entry::jsonb || jsonb_build_object('payment', :payment::jsonb),
       '/api/v1/orders/' || e.id || '/' AS location,
       CASE WHEN o.status <> 'pending' OR :outcome = 'requires_action' THEN 201 ELSE 202 END AS status
  FROM order_entry e
  JOIN orders_order o ON o.id = e.id
 WHERE e.id = :order_id::bigint AND e.is_owner AND e.is_staff = :is_staff::boolean;

-- name: withdraw_order :none
-- The payment method was none: the order never stood a chance, and its key is free again.
WITH cancelled AS (
  SELECT cancel_order(:order_id::bigint, NULL, 'system', 'the payment method was refused')
)
UPDATE orders_saga SET idempotency_key = NULL, updated_at = now()
  FROM cancelled
 WHERE order_id = :order_id::bigint;
