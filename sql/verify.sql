-- verify.sql: what must always hold (architecture.md section 6), recomputed from the rows of all
-- services in one statement, that is in one snapshot.  Run by `arnova verify` as the owner.
--
-- What travels by event is compared only where no event of that order is on its way.  An id
-- that orders never drew (it does so before anybody else hears of it) is no order of this shop.

WITH waiting AS (
  SELECT aggregate_id AS order_id FROM orders.event_outbox WHERE delivered_at IS NULL
  UNION
  SELECT aggregate_id FROM payments.event_outbox WHERE delivered_at IS NULL
), settled AS (
  SELECT o.*, CASE WHEN o.status = 'pending' THEN 'held'
                   WHEN o.status IN ('confirmed', 'processing') THEN 'committed'
                   WHEN o.status IN ('shipped', 'delivered') THEN 'consumed'
                   ELSE 'released' END AS reservation
    FROM orders.orders_order o
   WHERE o.id NOT IN (SELECT w.order_id FROM waiting w)
), moved AS (
  SELECT m.stock_id, sum(m.on_hand) AS on_hand, sum(m.reserved) AS reserved,
         -coalesce(sum(m.on_hand) FILTER (WHERE m.cause = 'consume'), 0) AS sold
    FROM products.products_stockmovement m GROUP BY m.stock_id
), held AS (
  SELECT i.stock_id, sum(i.consumed) AS consumed,
         coalesce(sum(i.quantity - i.consumed) FILTER (WHERE r.state IN ('held', 'committed')), 0) AS reserved
    FROM products.products_reservationitem i
    JOIN products.products_reservation r USING (order_id) GROUP BY i.stock_id
), ordered AS (
  SELECT i.order_id, i.product_id, coalesce(i.variant_id, 0) AS variant_id,
         sum(i.quantity) AS quantity, sum(i.shipped_quantity) AS shipped, sum(i.total) AS total
    FROM orders.orders_orderitem i GROUP BY 1, 2, 3
), reserved AS (
  SELECT i.order_id, s.product_id, coalesce(s.variant_id, 0) AS variant_id, i.quantity, i.consumed
    FROM products.products_reservationitem i JOIN products.products_stock s ON s.id = i.stock_id
), refund AS (
  SELECT r.transaction_id, coalesce(sum(r.amount) FILTER (WHERE r.status = 'succeeded'), 0) AS succeeded,
         coalesce(sum(r.amount) FILTER (WHERE r.status = 'pending'), 0) AS pending
    FROM payments.payments_refund r GROUP BY r.transaction_id
), difference (text) AS (
  -- Stock: level, ledger and reservations say the same.
  SELECT format('stock %s: %s on hand, %s reserved; its movements say %s and %s', s.id, s.on_hand,
                s.reserved, coalesce(m.on_hand, 0), coalesce(m.reserved, 0))
    FROM products.products_stock s LEFT JOIN moved m ON m.stock_id = s.id
   WHERE (s.on_hand, s.reserved) IS DISTINCT FROM (coalesce(m.on_hand, 0), coalesce(m.reserved, 0))
  UNION ALL
  SELECT format('stock %s: %s reserved; its reservations say %s', s.id, s.reserved, coalesce(h.reserved, 0))
    FROM products.products_stock s LEFT JOIN held h ON h.stock_id = s.id
   WHERE s.reserved <> coalesce(h.reserved, 0) OR s.reserved NOT BETWEEN 0 AND s.on_hand
  UNION ALL
  SELECT format('stock %s: %s sold; its reservations say %s', m.stock_id, m.sold, coalesce(h.consumed, 0))
    FROM moved m LEFT JOIN held h USING (stock_id)
   WHERE m.sold <> coalesce(h.consumed, 0)

  -- Orders: sums, shipments, and a history that is one chain of permitted steps.
  UNION ALL
  SELECT format('order %s: total %s; its lines say %s', o.id, o.total, coalesce(sum(l.total), 0))
    FROM orders.orders_order o LEFT JOIN ordered l ON l.order_id = o.id
   GROUP BY o.id
  HAVING o.total <> coalesce(sum(l.total), 0) + o.shipping_total + o.tax_total - o.discount_total
  UNION ALL
  SELECT format('order %s: %s of line %s shipped; its shipments say %s', i.order_id, i.shipped_quantity,
                i.id, coalesce(sum(c.quantity), 0))
    FROM orders.orders_orderitem i LEFT JOIN orders.orders_shipmentitem c ON c.order_item_id = i.id
   GROUP BY i.id
  HAVING i.shipped_quantity <> coalesce(sum(c.quantity), 0)
  UNION ALL
  SELECT format('order %s: is %s; its history ends with %s', o.id, o.status, coalesce(h.status, 'nothing'))
    FROM orders.orders_order o
    LEFT JOIN LATERAL (SELECT y.status FROM orders.orders_orderhistory y WHERE y.order_id = o.id
                        ORDER BY y.id DESC LIMIT 1) h ON true
   WHERE h.status IS DISTINCT FROM o.status
  UNION ALL
  SELECT format('order %s: its history goes from %s to %s', h.order_id, coalesce(h.previous, 'nothing'), h.status)
    FROM (SELECT y.*, lag(y.status) OVER (PARTITION BY y.order_id ORDER BY y.id) AS previous
            FROM orders.orders_orderhistory y) h
   WHERE h.from_status IS DISTINCT FROM h.previous
      OR (h.previous IS NOT NULL AND (h.previous, h.status) NOT IN
          (SELECT t.from_status, t.to_status FROM orders.orders_transition t))
  UNION ALL
  SELECT format('order %s: is %s; its lines are shipped %s of %s', o.id, o.status, sum(l.shipped), sum(l.quantity))
    FROM orders.orders_order o JOIN ordered l ON l.order_id = o.id
   GROUP BY o.id
  HAVING (o.status IN ('shipped', 'delivered')) <> (sum(l.shipped) = sum(l.quantity))
  UNION ALL
  SELECT format('order %s: is %s, %s; %s of %s units shipped, %s delivered', q.id, q.status, q.fulfillment_status,
                q.shipped, q.quantity, q.delivered)
    FROM (SELECT o.id, o.status, o.fulfillment_status, sum(l.quantity) AS quantity, sum(l.shipped) AS shipped,
                 (SELECT coalesce(sum(c.quantity), 0) FROM orders.orders_shipment s
                    JOIN orders.orders_shipmentitem c ON c.shipment_id = s.id
                   WHERE s.order_id = o.id AND s.status = 'delivered') AS delivered
            FROM orders.orders_order o JOIN ordered l ON l.order_id = o.id GROUP BY o.id) q
   WHERE (q.status = 'delivered') <> (q.delivered = q.quantity)
      OR q.fulfillment_status <> CASE WHEN q.status IN ('cancelled', 'expired') THEN 'cancelled'
                                      WHEN q.delivered = q.quantity THEN 'delivered'
                                      WHEN q.delivered > 0 THEN 'partially_delivered'
                                      WHEN q.shipped = q.quantity THEN 'shipped'
                                      WHEN q.shipped > 0 THEN 'partially_shipped'
                                      ELSE 'unfulfilled' END
  UNION ALL
  SELECT format('checkout %s: is %s; there is %s order', s.order_id, s.state, CASE WHEN o.id IS NULL THEN 'no' ELSE 'an' END)
    FROM orders.orders_saga s LEFT JOIN orders.orders_order o ON o.id = s.order_id
   WHERE (s.state = 'placed') <> (o.id IS NOT NULL)

  -- Payments: sums, one charge at most, and a history as above.
  UNION ALL
  SELECT format('payment %s: %s refunded, %s pending; its refunds say %s and %s', t.id, t.refunded,
                t.refund_pending, coalesce(r.succeeded, 0), coalesce(r.pending, 0))
    FROM payments.payments_transaction t LEFT JOIN refund r ON r.transaction_id = t.id
   WHERE (t.refunded, t.refund_pending) IS DISTINCT FROM (coalesce(r.succeeded, 0), coalesce(r.pending, 0))
      OR t.refunded + t.refund_pending > t.captured
  UNION ALL
  SELECT format('payment %s: %s captured of %s by %s charges', t.id, t.captured, t.amount, count(a.id))
    FROM payments.payments_transaction t
    LEFT JOIN payments.payments_attempt a ON a.transaction_id = t.id AND a.outcome = 'succeeded'
   GROUP BY t.id
  HAVING t.captured NOT IN (0, t.amount) OR count(a.id) <> (t.captured > 0)::integer
  UNION ALL
  SELECT format('payment %s: is %s; its history ends with %s', t.id, t.status, coalesce(h.to_status, 'nothing'))
    FROM payments.payments_transaction t
    LEFT JOIN LATERAL (SELECT y.to_status FROM payments.payments_history y WHERE y.transaction_id = t.id
                        ORDER BY y.id DESC LIMIT 1) h ON true
   WHERE h.to_status IS DISTINCT FROM t.status
  UNION ALL
  SELECT format('payment %s: its history goes from %s to %s', h.transaction_id, coalesce(h.previous, 'nothing'), h.to_status)
    FROM (SELECT y.*, lag(y.to_status) OVER (PARTITION BY y.transaction_id ORDER BY y.id) AS previous
            FROM payments.payments_history y) h
   WHERE h.from_status IS DISTINCT FROM h.previous
      OR (h.previous IS NOT NULL AND (h.previous, h.to_status) NOT IN
          (SELECT t.from_status, t.to_status FROM payments.payments_transition t))
  UNION ALL
  SELECT format('payment %s: is %s; its attempt %s is %s', t.id, t.status, a.number, a.outcome)
    FROM payments.payments_transaction t JOIN payments.payments_attempt a ON a.transaction_id = t.id
   WHERE a.outcome = 'requires_action' AND t.status <> 'requires_action'

  -- Orders and payments: nothing is delivered unpaid, nothing paid is lost.
  UNION ALL
  SELECT format('order %s: is %s with a total of %s %s; captured %s %s', o.id, o.status, o.total, o.currency,
                coalesce(t.captured, 0), t.currency)
    FROM orders.orders_order o LEFT JOIN payments.payments_transaction t ON t.order_id = o.id
   WHERE o.status IN ('confirmed', 'processing', 'shipped', 'delivered') AND o.total > 0
     AND (t.captured, t.currency) IS DISTINCT FROM (o.total, o.currency)
  UNION ALL
  SELECT format('order %s: is %s; %s of %s captured are not given back', o.id, o.status,
                t.captured - t.refunded - t.refund_pending, t.captured)
    FROM settled o JOIN payments.payments_transaction t ON t.order_id = o.id
   WHERE o.status IN ('pending', 'cancelled', 'expired') AND NOT o.payment_cancel_due
     AND t.captured > t.refunded + t.refund_pending
  UNION ALL
  SELECT format('order %s: knows version %s of payment %s, which has %s', o.id, o.payment_version, t.id, t.version)
    FROM settled o JOIN payments.payments_transaction t ON t.order_id = o.id AND t.user_id IS NOT NULL
   WHERE o.payment_version <> t.version
  UNION ALL
  SELECT format('payment %s: of order %s, which is not there', t.id, t.order_id)
    FROM payments.payments_transaction t
   WHERE t.captured > 0 AND t.order_id NOT IN (SELECT o.id FROM orders.orders_order o)
     AND t.order_id <= (SELECT q.last_value FROM orders.orders_order_id_seq q)

  -- Orders and stock: held, committed, sold or given back as the order stands.
  UNION ALL
  SELECT format('order %s: is %s; its reservation is %s', o.id, o.status, coalesce(r.state, 'missing'))
    FROM settled o LEFT JOIN products.products_reservation r ON r.order_id = o.id
   WHERE r.state IS DISTINCT FROM o.reservation
  UNION ALL
  SELECT format('order %s: %s of product %s, %s shipped; its reservation says %s, %s sold', o.id,
                coalesce(l.quantity, 0), coalesce(l.product_id, r.product_id), coalesce(l.shipped, 0),
                coalesce(r.quantity, 0), coalesce(r.consumed, 0))
    FROM settled o
    JOIN (ordered l FULL JOIN reserved r USING (order_id, product_id, variant_id)) ON order_id = o.id
   WHERE (l.quantity, l.shipped) IS DISTINCT FROM (r.quantity, r.consumed)
  UNION ALL
  SELECT format('reservation of order %s: is %s; its checkout is %s', r.order_id, r.state, coalesce(s.state, 'missing'))
    FROM products.products_reservation r LEFT JOIN orders.orders_saga s USING (order_id)
   WHERE (s.order_id IS NULL AND r.order_id <= (SELECT q.last_value FROM orders.orders_order_id_seq q))
      OR (s.state = 'undone' AND r.state <> 'released')

  -- Carts: taken off once for every confirmed order that came from one.
  UNION ALL
  SELECT format('order %s: its lines were not taken off the cart', o.id)
    FROM settled o
   WHERE o.from_cart AND o.id IN (SELECT h.order_id FROM orders.orders_orderhistory h WHERE h.status = 'confirmed')
     AND o.id NOT IN (SELECT t.order_id FROM cart.cart_taken t WHERE t.user_id = o.user_id)

  -- Events: what was delivered was received.
  UNION ALL
  SELECT format('event %s (%s of order %s): delivered to %s, which does not know it', e.event_id, e.type,
                e.aggregate_id, e.subscriber)
    FROM (SELECT * FROM orders.event_outbox UNION ALL SELECT * FROM payments.event_outbox) e
    LEFT JOIN (SELECT 'products' AS subscriber, event_id FROM products.event_inbox
               UNION ALL SELECT 'cart', event_id FROM cart.event_inbox
               UNION ALL SELECT 'orders', event_id FROM orders.event_inbox) i USING (subscriber, event_id)
   WHERE e.delivered_at IS NOT NULL AND i.event_id IS NULL
)
SELECT json_build_object('differences', coalesce(json_agg(d.text), '[]')) FROM difference d;
