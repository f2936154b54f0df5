-- How the catalogue is shown.

-- What can be bought of each product: its own stock row, or the sum of its living variants.
-- Lateral, so that one product's stock is counted without looking at the others.
CREATE VIEW product_stock AS
SELECT p.id AS product_id, s.available, s.variant_count
  FROM products_product p
 CROSS JOIN LATERAL (
   SELECT coalesce(CASE WHEN count(v.id) = 0 THEN sum(s.on_hand - s.reserved) FILTER (WHERE s.variant_id IS NULL)
                        ELSE sum(s.on_hand - s.reserved) FILTER (WHERE v.id IS NOT NULL) END, 0) AS available,
          count(v.id) AS variant_count
     FROM products_stock s
     LEFT JOIN products_productvariant v ON v.id = s.variant_id AND v.deleted_at IS NULL
    WHERE s.product_id = p.id) s;

-- Products of which something can be bought: as above, but a set that is found without summing up
-- each product's stock.
CREATE VIEW product_in_stock AS
SELECT s.product_id
  FROM products_stock s
  LEFT JOIN products_productvariant v ON v.id = s.variant_id AND v.deleted_at IS NULL
 WHERE s.on_hand > s.reserved
   AND (v.id IS NOT NULL OR (s.variant_id IS NULL AND NOT EXISTS (
         SELECT FROM products_productvariant o WHERE o.product_id = s.product_id AND o.deleted_at IS NULL)));

CREATE VIEW category_shown AS
SELECT c.id, c.name, c.slug, c.parent_id,
       json_build_object('id', c.id, 'name', c.name, 'slug', c.slug, 'parent_id', c.parent_id,
                         'description', c.description, 'created_at', wire_time(c.created_at),
                         'updated_at', wire_time(c.updated_at)) AS json
  FROM products_category c;

-- A category with all below it, each under its parent's `children`.  Taken depth first, a category
-- is followed by what it contains; where the next one stands higher, the lists between are closed.
CREATE FUNCTION category_tree(p_id bigint) RETURNS json
LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (
    WITH RECURSIVE below AS (
      SELECT c.id, c.name, c.json, 1 AS level FROM category_shown c WHERE c.id = p_id
      UNION ALL
      SELECT c.id, c.name, c.json, b.level + 1 FROM category_shown c JOIN below b ON c.parent_id = b.id)
    SEARCH DEPTH FIRST BY name, id SET place
    SELECT string_agg(left(b.json::text, -1) || ', "children" : [' || repeat(']}', b.level - b.next_level + 1) ||
                      CASE WHEN b.next_level BETWEEN 2 AND b.level THEN ',' ELSE '' END, '' ORDER BY b.place)::json
      FROM (SELECT json, level, place, lead(level, 1, 1) OVER (ORDER BY place) AS next_level FROM below) b);
END
$$;

CREATE VIEW variant_shown AS
SELECT v.id, v.product_id,
       json_build_object('id', v.id, 'sku', v.sku, 'name', v.name, 'options', v.options,
                         'price', money(coalesce(v.price, p.price), p.currency),
                         'currency', p.currency,
                         'stock_quantity', s.on_hand - s.reserved,
                         'in_stock', s.on_hand > s.reserved) AS json
  FROM products_productvariant v
  JOIN products_product p ON p.id = v.product_id
  JOIN products_stock s ON s.product_id = v.product_id AND s.variant_id = v.id
 WHERE v.deleted_at IS NULL;

CREATE VIEW image_shown AS
SELECT i.id, i.product_id, i.position,
       json_build_object('id', i.id, 'url', i.url, 'alt', i.alt, 'position', i.position) AS json
  FROM products_productimage i;

CREATE VIEW product_entry AS
SELECT p.id,
       jsonb_build_object(
         'id', p.id, 'slug', p.slug, 'sku', p.sku, 'name', p.name,
         'price', money(p.price, p.currency),
         'compare_at_price', money(p.compare_at_price, p.currency),
         'currency', p.currency,
         'in_stock', s.available > 0, 'stock_quantity', s.available,
         'category', (SELECT json_build_object('id', c.id, 'slug', c.slug, 'name', c.name)
                        FROM products_category c WHERE c.id = p.category_id),
         'image', (SELECT i.url FROM products_productimage i WHERE i.product_id = p.id
                    ORDER BY i.position, i.id LIMIT 1),
         'rating_avg', p.rating_avg, 'rating_count', p.rating_count,
         'variant_count', s.variant_count) AS json
  FROM products_product p
  JOIN product_stock s ON s.product_id = p.id;

-- `categories`: from the root down to the product's own.
CREATE VIEW product_full AS
SELECT p.id, p.is_active, p.version,
       e.json || jsonb_build_object(
         'description', p.description, 'is_active', p.is_active, 'category_id', p.category_id,
         'images', (SELECT coalesce(json_agg(i.json ORDER BY i.position, i.id), '[]')
                      FROM image_shown i WHERE i.product_id = p.id),
         'variants', (SELECT coalesce(json_agg(v.json ORDER BY v.id), '[]')
                        FROM variant_shown v WHERE v.product_id = p.id),
         'categories', (WITH RECURSIVE up AS (
                          SELECT c.*, 1 AS height FROM products_category c WHERE c.id = p.category_id
                          UNION ALL
                          SELECT c.*, up.height + 1 FROM products_category c JOIN up ON c.id = up.parent_id)
                        SELECT coalesce(json_agg(json_build_object('id', id, 'slug', slug, 'name', name)
                                                 ORDER BY height DESC), '[]') FROM up),
         'created_at', wire_time(p.created_at), 'updated_at', wire_time(p.updated_at)) AS json
  FROM products_product p
  JOIN product_entry e USING (id)
 WHERE p.deleted_at IS NULL;
