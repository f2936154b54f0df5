-- orders.sql: what clients and siblings read of orders.

-- name: list_orders :list
-- Newest first.  The filter asked_user_id is staff's; of others' orders nobody else sees any.
SELECT o.id, o.user_id, o.created_at
  FROM orders_order o
 WHERE true
--when is_staff = false
   AND o.user_id = :user_id::bigint
--end
--when asked_user_id
   AND o.user_id = :asked_user_id::bigint
--end
--when status
   AND o.status = :status
--end
--when payment_status
   AND o.payment_status = :payment_status
--end
--when created_after
   AND o.created_at >= :created_after::timestamptz
--end
--when created_before
   AND o.created_at < :created_before::timestamptz
--end
--order default id bigint desc
--order created_at created_at timestamptz
--show
(SELECT e.entry FROM order_entry e
  WHERE e.id = page.id
    AND e.is_owner = (page.user_id = :user_id::bigint)
    AND e.is_staff = :is_staff::boolean);

-- name: get_order :json
SELECT e.entry
  FROM order_entry e
 WHERE e.id = :id::bigint
   AND e.is_owner = (e.user_id = :user_id::bigint)
   AND e.is_staff = :is_staff::boolean;

-- name: track_order :json
SELECT t.entry
  FROM order_track t
 WHERE t.id = :id::bigint
   AND (t.user_id = :user_id::bigint OR :is_staff::boolean);

-- name: get_payable :json
SELECT payable(:id::bigint, :asked_user_id::bigint, :reservation_seconds::integer);

-- name: show_purchase :json
SELECT json_build_object('purchased', EXISTS (
         SELECT FROM orders_order o
           JOIN orders_orderitem i ON i.order_id = o.id
          WHERE o.user_id = :asked_user_id::bigint
            AND i.product_id = :product_id::bigint
            AND o.status IN ('confirmed', 'processing', 'shipped', 'delivered')));
