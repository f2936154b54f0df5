-- products.sql: the catalogue as clients see and staff edit it.

-- name: list_products :list
SELECT p.id, p.name, p.price, p.created_at, coalesce(p.rating_avg, 0) AS rating
--when search
     , found.rank
--when not search
     , 0::real AS rank
--end
  FROM products_product p
--when search
  JOIN find_products(:search, :is_staff::boolean) found USING (id)
--end
 WHERE p.deleted_at IS NULL AND (p.is_active OR :is_staff::boolean)
--when category
   AND p.category_id = ANY ((SELECT category_with_descendants(:category))::bigint[])
--when min_price
   AND p.price >= :min_price::numeric * 10 ^ decimals(p.currency)
--when max_price
   AND p.price <= :max_price::numeric * 10 ^ decimals(p.currency)
--when ids
   AND p.id = ANY (string_to_array(:ids, ',')::bigint[])
--when in_stock = true
   AND EXISTS (SELECT FROM product_in_stock s WHERE s.product_id = p.id)
--when in_stock = false
   AND NOT EXISTS (SELECT FROM product_in_stock s WHERE s.product_id = p.id)
--end
--order default id bigint
--order relevance -rank real
--order name name text
--order price price bigint
--order created_at created_at timestamptz
--order rating rating numeric
--given
true
--when category
  AND category_with_descendants(:category) IS NOT NULL -- refused even where no product is
--end
--show
(SELECT e.json FROM product_entry e WHERE e.id = page.id);

-- name: show_product :json
SELECT f.json
  FROM product_full f
 WHERE f.id = CASE WHEN :slug ~ '^[0-9]+$' THEN :slug::bigint
                   ELSE (SELECT p.id FROM products_product p WHERE p.slug = :slug AND p.deleted_at IS NULL) END
   AND (f.is_active OR :is_staff::boolean);

-- name: create_product :row
SELECT id AS slug, '/api/v1/products/' || id || '/' AS location
  FROM create_product(:body::jsonb, coalesce(:currency, :shop_currency)) AS id;

-- name: replace_product :row
SELECT id AS slug FROM update_product(
         :id::bigint, jsonb_build_object('currency', :shop_currency::text) || :body::jsonb, true) AS id WHERE id IS NOT NULL;

-- name: change_product :row
SELECT id AS slug FROM update_product(:id::bigint, :body::jsonb, false) AS id WHERE id IS NOT NULL;

-- name: delete_product :none
SELECT id FROM delete_product(:id::bigint) AS id WHERE id IS NOT NULL;

-- name: list_variants :list
SELECT v.id, v.json FROM variant_shown v WHERE v.product_id = :id::bigint
--order default id bigint
--given
EXISTS (SELECT FROM products_product p
         WHERE p.id = :id::bigint AND p.deleted_at IS NULL AND (p.is_active OR :is_staff::boolean))
--show
page.json;

-- name: show_variant :json
SELECT v.json FROM variant_shown v
  JOIN products_product p ON p.id = v.product_id AND p.deleted_at IS NULL AND (p.is_active OR :is_staff::boolean)
 WHERE v.id = :vid::bigint AND v.product_id = :id::bigint;

-- name: create_variant :row
SELECT vid, '/api/v1/products/' || :id || '/variants/' || vid || '/' AS location
  FROM create_variant(:id::bigint, :body::jsonb) AS vid WHERE vid IS NOT NULL;

-- name: replace_variant :row
SELECT vid FROM update_variant(:id::bigint, :vid::bigint, :body::jsonb, true) AS vid WHERE vid IS NOT NULL;

-- name: change_variant :row
SELECT vid FROM update_variant(:id::bigint, :vid::bigint, :body::jsonb, false) AS vid WHERE vid IS NOT NULL;

-- name: delete_variant :none
SELECT vid FROM delete_variant(:id::bigint, :vid::bigint) AS vid WHERE vid IS NOT NULL;

-- name: list_images :list
SELECT i.id, i.position, i.json FROM image_shown i WHERE i.product_id = :id::bigint
--order default position integer
--given
EXISTS (SELECT FROM products_product p
         WHERE p.id = :id::bigint AND p.deleted_at IS NULL AND (p.is_active OR :is_staff::boolean))
--show
page.json;

-- name: show_image :json
SELECT i.json FROM image_shown i
  JOIN products_product p ON p.id = i.product_id AND p.deleted_at IS NULL AND (p.is_active OR :is_staff::boolean)
 WHERE i.id = :iid::bigint AND i.product_id = :id::bigint;

-- name: create_image :row
SELECT iid, '/api/v1/products/' || :id || '/images/' || iid || '/' AS location
  FROM create_image(:id::bigint, :body::jsonb) AS iid WHERE iid IS NOT NULL;

-- name: change_image :row
SELECT iid FROM update_image(:id::bigint, :iid::bigint, :body::jsonb) AS iid WHERE iid IS NOT NULL;

-- name: delete_image :none
SELECT iid FROM delete_image(:id::bigint, :iid::bigint) AS iid WHERE iid IS NOT NULL;
