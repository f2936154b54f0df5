-- payments.sql: what the routes for people run.

-- name: list_payments :list
-- Newest first.
SELECT t.id
  FROM payments_transaction t
 WHERE t.user_id IS NOT NULL AND (:is_staff::boolean OR t.user_id = :user_id::bigint)
--when order_id
   AND t.order_id = :order_id::bigint
--end
--order default id bigint desc
--order created_at id bigint
--show
(SELECT CASE WHEN :is_staff::boolean THEN p.payment::jsonb || jsonb_build_object('alerts', p.alerts)
             ELSE p.payment::jsonb END
   FROM payment_entry p WHERE p.id = page.id);

-- name: get_payment :json
SELECT CASE WHEN :is_staff::boolean THEN p.payment::jsonb || jsonb_build_object('alerts', p.alerts)
            ELSE p.payment::jsonb END
  FROM payment_entry p
 WHERE p.id = :id::bigint AND (:is_staff::boolean OR p.user_id = :user_id::bigint);

-- name: begin_attempt :row
SELECT attempt_id, fresh, is_open
  FROM begin_attempt(:order_id::bigint, :payer_id::bigint, :due_amount::bigint, :due_currency,
                     :payment_method, :return_url, :request_key, :is_checkout::boolean);

-- name: get_attempt :row
SELECT c.*, p.payment, t.status AS payment_status, waiting_events(c.order_id) AS events
  FROM attempt_call c
  JOIN payments_transaction t ON t.id = c.payment_id
  JOIN payment_entry p ON p.id = c.payment_id
 WHERE c.attempt_id = :attempt_id::bigint;

-- name: record_outcome :row
SELECT outcome, is_strange
  FROM record_outcome(:attempt_id::bigint, :outcome, :intent, :received::bigint, :received_currency,
                      :failure_code, :decline_code, :failure_message, :stripe_request_id);

-- name: begin_refund :row
SELECT refund_id, order_id FROM begin_refund(:id::bigint, :amount, :reason, :request_key);

-- name: take_refund :row
SELECT * FROM take_refund(:refund_id::bigint);

-- name: record_refund :row
SELECT record_refund(:refund_id::bigint, :outcome, :refund_ref, :failure_reason, :stripe_request_id) AS status;

-- name: get_refund :json
SELECT r.refund,
       CASE r.status WHEN 'pending' THEN 202 ELSE 201 END AS status,
       '/api/v1/payments/' || r.payment_id || '/' AS location
  FROM refund_entry r WHERE r.id = :refund_id::bigint;
