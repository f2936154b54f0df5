-- reviews.sql: what customers say of a product.

-- name: list_reviews :list
SELECT r.id, r.rating, r.created_at, r.json FROM review_shown r WHERE r.product_id = :id::bigint
--order default created_at timestamptz desc
--order created_at created_at timestamptz
--order rating rating integer
--given
EXISTS (SELECT FROM products_product p
         WHERE p.id = :id::bigint AND p.deleted_at IS NULL AND (p.is_active OR :is_staff::boolean))
--show
page.json;

-- name: show_review :json
SELECT r.json FROM review_shown r
  JOIN products_product p ON p.id = r.product_id AND p.deleted_at IS NULL AND (p.is_active OR :is_staff::boolean)
 WHERE r.id = :rid::bigint AND r.product_id = :id::bigint;

-- name: check_reviewable :row
SELECT p.id AS product_id FROM products_product p
 WHERE p.id = :id::bigint AND p.deleted_at IS NULL AND (p.is_active OR :is_staff::boolean);

-- name: create_review :row
SELECT rid, '/api/v1/products/' || :id || '/reviews/' || rid || '/' AS location
  FROM create_review(:id::bigint, :user_id::bigint, :is_staff::boolean, :body::jsonb,
                     :purchased::boolean) AS rid WHERE rid IS NOT NULL;

-- name: replace_review :row
SELECT rid FROM replace_review(:id::bigint, :rid::bigint, :user_id::bigint, :is_staff::boolean,
                               :body::jsonb) AS rid WHERE rid IS NOT NULL;

-- name: delete_review :none
SELECT rid FROM delete_review(:id::bigint, :rid::bigint, :user_id::bigint, :is_staff::boolean) AS rid
 WHERE rid IS NOT NULL;

-- name: find_unverified :row
-- A review of the product of which orders could not say yet whether its author had bought it.
SELECT r.id AS unverified FROM products_review r
 WHERE r.product_id = :id::bigint AND r.verified_purchase IS NULL
   AND r.asked_at < now() - interval '1 minute'
   -- Whoever reads reviews is not to wait for orders again and again.
   AND NOT EXISTS (SELECT FROM products_review o
                    WHERE o.verified_purchase IS NULL AND o.asked_at > now() - interval '5 seconds')
 ORDER BY r.asked_at LIMIT 1;

-- name: claim_unverified :row
UPDATE products_review SET asked_at = now()
 WHERE id = :unverified::bigint AND verified_purchase IS NULL AND asked_at < now() - interval '1 minute'
RETURNING user_id AS author;

-- name: verify_review :none
UPDATE products_review SET verified_purchase = :purchased::boolean
 WHERE id = :unverified::bigint AND verified_purchase IS NULL;
