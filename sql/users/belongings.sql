-- belongings.sql: a person's addresses and saved items.

-- name: list_addresses :list
SELECT a.id, a.json FROM address a WHERE a.user_id = :user_id::bigint
--order default id bigint
--show
page.json;

-- name: show_address :json
SELECT a.json FROM address a WHERE a.id = :id::bigint AND a.user_id = :user_id::bigint;

-- name: create_address :row
SELECT id, '/api/v1/auth/addresses/' || id || '/' AS location
  FROM create_address(:user_id::bigint, :body::jsonb) AS id;

-- name: replace_address :row
SELECT id FROM replace_address(:user_id::bigint, :id::bigint, :body::jsonb) AS id WHERE id IS NOT NULL;

-- name: delete_address :none
SELECT id FROM delete_address(:user_id::bigint, :id::bigint) AS id WHERE id IS NOT NULL;

-- name: list_saved_items :list
SELECT s.id, s.json FROM saved_item s WHERE s.user_id = :user_id::bigint
--order default id bigint desc
--show
page.json;

-- name: show_saved_item :json
SELECT s.json FROM saved_item s WHERE s.id = :id::bigint AND s.user_id = :user_id::bigint;

-- name: save_item :json
SELECT item, location FROM save_item(:user_id::bigint, :product_id::bigint);

-- name: delete_saved_item :none
DELETE FROM users_saveditem WHERE id = :id::bigint AND user_id = :user_id::bigint;
