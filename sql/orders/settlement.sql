-- settlement.sql: cancelling, payments' events, and what waits to be finished.

-- name: cancel_order :row
SELECT cancel_order(:id::bigint, :user_id::bigint, CASE WHEN :is_staff::boolean THEN 'staff' ELSE 'customer' END,
                    :reason) AS cancelled;

-- name: receive_order_event :json
SELECT json_build_object('applied', receive_event(:body::jsonb));

-- name: receive_order_events :none
SELECT receive_events(:events::jsonb);

-- name: forget_payment_cancel :none
UPDATE orders_order SET payment_cancel_due = false WHERE id = :order_id::bigint;

-- name: list_due_orders :json
SELECT json_build_object('orders', coalesce(json_agg(d.order_id ORDER BY d.due_at), '[]'))
  FROM (SELECT order_id, greatest(w.due_at, u.due_at) AS due_at
          FROM order_due w LEFT JOIN unfinished_run u USING (order_id)
         WHERE w.due_at <= now() AND coalesce(u.due_at, w.due_at) <= now() -- the first by index
         ORDER BY 2 LIMIT 100) d;

-- name: begin_order_run :none
SELECT begin_run(:order_id::bigint);

-- name: end_order_run :none
SELECT end_run(:order_id::bigint);

-- name: get_due_step :row
SELECT step FROM order_due WHERE order_id = :order_id::bigint;

-- name: begin_undo :row
-- Unless a retry has taken the checkout up again.
UPDATE orders_saga
   SET state = 'undoing', updated_at = now()
 WHERE order_id = :order_id::bigint
   AND (state = 'undoing' OR (state = 'reserving' AND updated_at < now() - interval '30 seconds'))
RETURNING order_id;

-- name: end_undo :none
UPDATE orders_saga SET state = 'undone', updated_at = now()
 WHERE order_id = :order_id::bigint AND state = 'undoing';

-- name: expire_order :none
SELECT expire_order(:order_id::bigint);

-- name: wait_for_payment :none
SELECT wait_for_payment(:order_id::bigint, :reservation_seconds::integer);

-- name: show_settled :json
SELECT json_build_object('state', coalesce(o.status, s.state))
  FROM orders_saga s
  LEFT JOIN orders_order o ON o.id = s.order_id
 WHERE s.order_id = :order_id::bigint;
