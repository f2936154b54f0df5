-- products.sql: the catalogue as clients see and staff edit it.

-- name: list_products :list
WITH
--when category
wanted AS MATERIALIZED (SELECT category_with_descendants(:category) AS ids),
--end
matched AS (
  SELECT p.id, p.name, p.price, p.created_at, p.rating_avg
--when search
       , ts_rank(p.search, websearch_to_tsquery('english', :search)) AS rank
--when not search
       , 0 AS rank
--end
    FROM products_product p
   WHERE p.deleted_at IS NULL AND (p.is_active OR :is_staff::boolean)
--when search
     AND (p.search @@ websearch_to_tsquery('english', :search)
          OR p.search @@ websearch_to_tsquery('simple', :search))
--when category
     AND p.category_id = ANY ((SELECT ids FROM wanted)::bigint[])
--when min_price
     AND p.price >= :min_price::numeric * 10 ^ decimals(p.currency)
--when max_price
     AND p.price <= :max_price::numeric * 10 ^ decimals(p.currency)
--when ids
     AND p.id = ANY (string_to_array(:ids, ',')::bigint[])
--when in_stock
     AND (SELECT s.available > 0 FROM product_stock s WHERE s.product_id = p.id) = :in_stock::boolean
--end
), page AS (
  SELECT id, row_number() OVER (ORDER BY
--when ordering = name
    name, id
--when ordering = -name
    name DESC, id DESC
--when ordering = price
    price, id
--when ordering = -price
    price DESC, id DESC
--when ordering = created_at
    created_at, id
--when ordering = -created_at
    created_at DESC, id DESC
--when ordering = rating
    rating_avg NULLS FIRST, id
--when ordering = -rating
    rating_avg DESC NULLS LAST, id DESC
--when not ordering
    rank DESC, id
--end
  ) AS place
    FROM matched
   ORDER BY place LIMIT :limit::bigint OFFSET :offset::bigint
)
SELECT (SELECT count(*) FROM matched) AS count,
       (SELECT coalesce(json_agg(e.json ORDER BY page.place), '[]')
          FROM page JOIN product_entry e USING (id)) AS results
--when category
  FROM wanted -- looked up even where no product is, so that an unknown one is refused
--end
;

-- name: show_product :json
SELECT f.json
  FROM product_full f
 WHERE f.id = CASE WHEN :slug ~ '^[0-9]+$' THEN :slug::bigint
                   ELSE (SELECT p.id FROM products_product p WHERE p.slug = :slug) END
   AND (f.is_active OR :is_staff::boolean);

-- name: create_product :row
SELECT id AS slug, '/api/v1/products/' || id || '/' AS location
  FROM create_product(:body::jsonb, coalesce(:currency, :shop_currency)) AS id;

-- name: replace_product :row
SELECT id AS slug FROM update_product(:id::bigint, :body::jsonb, true) AS id WHERE id IS NOT NULL;

-- name: change_product :row
SELECT id AS slug FROM update_product(:id::bigint, :body::jsonb, false) AS id WHERE id IS NOT NULL;

-- name: delete_product :none
SELECT id FROM delete_product(:id::bigint) AS id WHERE id IS NOT NULL;

-- name: list_variants :list
SELECT (SELECT count(*) FROM variant_shown v WHERE v.product_id = p.id) AS count,
       (SELECT coalesce(json_agg(page.json), '[]')
          FROM (SELECT v.json FROM variant_shown v WHERE v.product_id = p.id
                 ORDER BY v.id LIMIT :limit::bigint OFFSET :offset::bigint) page) AS results
  FROM products_product p
 WHERE p.id = :id::bigint AND p.deleted_at IS NULL AND (p.is_active OR :is_staff::boolean);

-- name: show_variant :json
SELECT v.json FROM variant_shown v WHERE v.id = :vid::bigint AND v.product_id = :id::bigint;

-- name: create_variant :row
SELECT vid, '/api/v1/products/' || :id || '/variants/' || vid || '/' AS location
  FROM create_variant(:id::bigint, :body::jsonb) AS vid WHERE vid IS NOT NULL;

-- name: replace_variant :row
SELECT vid FROM update_variant(:id::bigint, :vid::bigint, :body::jsonb, true) AS vid WHERE vid IS NOT NULL;

-- name: change_variant :row
SELECT vid FROM update_variant(:id::bigint, :vid::bigint, :body::jsonb, false) AS vid WHERE vid IS NOT NULL;

-- name: delete_variant :none
UPDATE products_productvariant
   SET deleted_at = now(), sku = sku || '-deleted-' || id, version = version + 1
 WHERE id = :vid::bigint AND product_id = :id::bigint AND deleted_at IS NULL;

-- name: list_images :list
SELECT (SELECT count(*) FROM image_shown v WHERE v.product_id = p.id) AS count,
       (SELECT coalesce(json_agg(page.json), '[]')
          FROM (SELECT v.json FROM image_shown v WHERE v.product_id = p.id
                 ORDER BY v.position, v.id LIMIT :limit::bigint OFFSET :offset::bigint) page) AS results
  FROM products_product p
 WHERE p.id = :id::bigint AND p.deleted_at IS NULL AND (p.is_active OR :is_staff::boolean);

-- name: show_image :json
SELECT i.json FROM image_shown i WHERE i.id = :iid::bigint AND i.product_id = :id::bigint;

-- name: create_image :row
SELECT add_images(p.id, jsonb_build_array(:body::jsonb)) AS iid,
       '/api/v1/products/' || :id || '/images/' AS location
  FROM products_product p WHERE p.id = :id::bigint AND p.deleted_at IS NULL;

-- name: change_image :row
UPDATE products_productimage
   SET url = coalesce(:url, url), alt = coalesce(:alt, alt), position = coalesce(:position::integer, position)
 WHERE id = :iid::bigint AND product_id = :id::bigint
RETURNING id AS iid;

-- name: delete_image :none
DELETE FROM products_productimage WHERE id = :iid::bigint AND product_id = :id::bigint;
