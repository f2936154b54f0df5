-- settlement.sql: what siblings, the relay and Stripe run.

-- name: begin_cancel :row
SELECT state, attempt_id, fresh FROM begin_cancel(:id::bigint, :reason);

-- name: show_cancel :json
SELECT json_build_object('state', :state::text, 'events', waiting_events(:id::bigint));

-- name: list_due :json
SELECT json_build_object('orders', coalesce(json_agg(d.order_id ORDER BY d.due_at, d.order_id), '[]'))
  FROM (SELECT order_id, min(greatest(w.due_at, u.due_at)) AS due_at
          FROM payment_due w LEFT JOIN unfinished_run u USING (order_id)
         WHERE w.due_at <= now() AND coalesce(u.due_at, w.due_at) <= now() -- the first by index
         GROUP BY order_id
         ORDER BY 2, 1 LIMIT 100) d;

-- name: begin_payment_run :none
SELECT begin_run(:id::bigint);

-- name: end_payment_run :none
SELECT end_run(:id::bigint);

-- name: next_work :row
SELECT kind, id FROM next_work(:id::bigint, :done);

-- name: show_state :json
SELECT json_build_object('state', public_status(t.status, t.captured, t.refunded))
  FROM payments_transaction t WHERE t.order_id = :id::bigint;

-- name: apply_stripe_event :row
SELECT effect, order_id, payment_id, alarm
  FROM apply_stripe_event(:event::jsonb, :livemode::boolean, :minor::bigint);

-- name: adopt_refund :row
SELECT adopt_refund(:payment_id::bigint, :object::jsonb, :minor::bigint) AS effect;

-- name: receive_event :json
-- Nothing that siblings tell concerns payments: they ask, by charge and cancel.
SELECT json_build_object('applied', first_receipt(:event_id::uuid, :type) AND false);
