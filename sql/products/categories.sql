-- categories.sql: the tree of categories.

-- name: list_categories :list
SELECT c.id, c.json FROM category_shown c
--order default id bigint
--show
page.json;

-- name: show_category :json
SELECT c.json FROM category_shown c WHERE c.id = :id::bigint;

-- name: create_category :row
SELECT id, '/api/v1/products/categories/' || id || '/' AS location
  FROM create_category(:body::jsonb) AS id;

-- name: replace_category :row
SELECT id FROM update_category(:id::bigint, :body::jsonb, true) AS id WHERE id IS NOT NULL;

-- name: change_category :row
SELECT id FROM update_category(:id::bigint, :body::jsonb, false) AS id WHERE id IS NOT NULL;

-- name: delete_category :none
DELETE FROM products_category WHERE id = :id::bigint;
