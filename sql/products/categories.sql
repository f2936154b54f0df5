-- categories.sql: the tree of categories.

-- name: list_categories :list
SELECT count(*) AS count, coalesce(json_agg(json ORDER BY id) FILTER (WHERE place > :offset::bigint
                                   AND place <= :offset::bigint + :limit::bigint), '[]') AS results
  FROM (SELECT c.id, c.json, row_number() OVER (ORDER BY c.id) AS place FROM category_shown c) c;

-- name: show_category :json
SELECT c.json FROM category_shown c WHERE c.id = :id::bigint;

-- name: create_category :row
SELECT id, '/api/v1/products/categories/' || id || '/' AS location
  FROM create_category(:body::jsonb) AS id;

-- name: replace_category :row
SELECT id FROM update_category(:id::bigint, :body::jsonb, true) AS id WHERE id IS NOT NULL;

-- name: change_category :row
SELECT id FROM update_category(:id::bigint, :body::jsonb, false) AS id WHERE id IS NOT NULL;

-- name: delete_category :row
SELECT EXISTS (SELECT FROM products_category WHERE id = :id::bigint) AS found,
       EXISTS (SELECT FROM products_category WHERE parent_id = :id::bigint) OR
       EXISTS (SELECT FROM products_product WHERE category_id = :id::bigint AND deleted_at IS NULL)
         AS in_use;

-- name: forget_category :none
WITH deleted_products AS (
  UPDATE products_product SET category_id = NULL WHERE category_id = :id::bigint AND deleted_at IS NOT NULL)
DELETE FROM products_category WHERE id = :id::bigint;
