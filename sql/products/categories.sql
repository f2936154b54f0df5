-- categories.sql: the tree of categories.

-- name: list_categories :list
-- As a tree the list is one of roots, and a page has each of its roots whole.
SELECT c.id, c.name, c.json FROM category_shown c
--when tree = true
 WHERE c.parent_id IS NULL
--end
--order default id bigint
--order name name text
--show
CASE WHEN :tree::boolean THEN category_tree(page.id) ELSE page.json END;

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
SELECT id FROM delete_category(:id::bigint) AS id WHERE id IS NOT NULL;
