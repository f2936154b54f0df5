-- What staff changes, and how it is shown.

-- Fills variants of a product from JSON: [{name?, sku?, options?, price?, stock_quantity?}].
CREATE FUNCTION add_variants(p_product products_product, p_variants jsonb) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  item      jsonb;
  place     bigint;
  added     bigint;
BEGIN
  FOR item, place IN SELECT * FROM jsonb_array_elements(p_variants) WITH ORDINALITY LOOP
    INSERT INTO products_productvariant (product_id, sku, name, options, price)
    VALUES (p_product.id, nullif(item->>'sku', ''),
            coalesce(nullif(item->>'name', ''),
                     (SELECT nullif(string_agg(value, ' / '), '')
                        FROM jsonb_each_text(coalesce(item->'options', '{}'))),
                     'Variant ' || place),
            coalesce(item->'options', '{}'),
            minor_units(item->>'price', p_product.currency,
                        CASE WHEN jsonb_array_length(p_variants) = 1 THEN 'price'
                             ELSE format('variants[%s].price', place - 1) END))
    RETURNING id INTO added;
    PERFORM open_stock(p_product.id, added, coalesce((item->>'stock_quantity')::integer, 0));
  END LOOP;
  RETURN added;
END
$$;

CREATE FUNCTION add_images(p_product_id bigint, p_images jsonb) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  added bigint;
BEGIN
  INSERT INTO products_productimage (product_id, url, alt, position)
  SELECT p_product_id, i.item->>'url', coalesce(i.item->>'alt', ''),
         coalesce((i.item->>'position')::integer, last.position + i.place)
    FROM jsonb_array_elements(p_images) WITH ORDINALITY AS i(item, place),
         (SELECT coalesce(max(position), 0) AS position FROM products_productimage
           WHERE product_id = p_product_id) last
   ORDER BY i.place;
  SELECT max(id) INTO added FROM products_productimage WHERE product_id = p_product_id;
  RETURN added;
END
$$;

CREATE FUNCTION create_product(p_body jsonb, p_currency text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  product  products_product;
  variants jsonb := coalesce(p_body->'variants', '[]');
  wanted   text := nullif(p_body->>'slug', '');
  stock    integer := (p_body->>'stock_quantity')::integer;
  total    integer;
BEGIN
  IF wanted IS NOT NULL THEN
    PERFORM check_slug(wanted);
  END IF;
  SELECT sum(coalesce((v->>'stock_quantity')::integer, 0)) INTO total FROM jsonb_array_elements(variants) v;
  IF stock <> total THEN
    PERFORM invalid('stock_quantity', 'A product with variants has the sum of their stock.');
  END IF;
  product.id := nextval(pg_get_serial_sequence('products_product', 'id'));
  product.slug := coalesce(wanted, slug_from(p_body->>'name', 'product-' || product.id));
  -- A name may come twice; a slug that nobody chose gives way.
  IF wanted IS NULL AND (product.slug IN ('categories', 'variants', 'images', 'reviews') OR
       EXISTS (SELECT FROM products_product WHERE slug = product.slug)) THEN
    product.slug := product.slug || '-' || product.id;
  END IF;
  product.currency := p_currency;
  INSERT INTO products_product (id, name, slug, sku, description, price, compare_at_price, currency,
                                category_id, is_active)
  VALUES (product.id, p_body->>'name', product.slug, nullif(p_body->>'sku', ''),
          coalesce(p_body->>'description', ''), minor_units(p_body->>'price', p_currency),
          minor_units(p_body->>'compare_at_price', p_currency, 'compare_at_price'), p_currency,
          (p_body->>'category_id')::bigint, coalesce((p_body->>'is_active')::boolean, true));
  IF variants = '[]' THEN
    PERFORM open_stock(product.id, NULL, coalesce(stock, 0));
  ELSE
    PERFORM add_variants(product, variants);
  END IF;
  PERFORM add_images(product.id, coalesce(p_body->'images', '[]'));
  RETURN product.id;
END
$$;

-- PATCH changes what was sent.  PUT (p_whole) gives what was left out its default, but for stock,
-- sku and slug, which stay.  Null: no such product.
CREATE FUNCTION update_product(p_id bigint, p_body jsonb, p_whole boolean) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  product products_product;
  body    jsonb := p_body;
  stock   integer := (p_body->>'stock_quantity')::integer;
BEGIN
  SELECT * INTO product FROM products_product WHERE id = p_id AND deleted_at IS NULL FOR UPDATE;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  IF p_whole THEN
    body := '{"description": "", "compare_at_price": null, "category_id": null, "is_active": true}' || body;
  END IF;
  IF nullif(body->>'slug', '') IS NOT NULL THEN
    PERFORM check_slug(body->>'slug');
  END IF;
  product.currency := coalesce(body->>'currency', product.currency);
  UPDATE products_product SET
    name = coalesce(body->>'name', name),
    slug = coalesce(nullif(body->>'slug', ''), slug),
    sku = CASE WHEN body ? 'sku' THEN nullif(body->>'sku', '') ELSE sku END,
    description = coalesce(body->>'description', description),
    currency = product.currency,
    price = coalesce(minor_units(body->>'price', product.currency), price),
    compare_at_price = CASE WHEN body ? 'compare_at_price'
                            THEN minor_units(body->>'compare_at_price', product.currency, 'compare_at_price')
                            ELSE compare_at_price END,
    category_id = CASE WHEN body ? 'category_id' THEN (body->>'category_id')::bigint ELSE category_id END,
    is_active = coalesce((body->>'is_active')::boolean, is_active),
    version = version + 1, updated_at = now()
   WHERE id = p_id;
  IF stock IS NULL THEN
    RETURN p_id;
  ELSIF EXISTS (SELECT FROM products_productvariant WHERE product_id = p_id AND deleted_at IS NULL) THEN
    IF stock <> (SELECT available FROM product_stock WHERE product_id = p_id) THEN
      PERFORM invalid('stock_quantity', 'A product with variants has the sum of their stock.');
    END IF;
  ELSE
    PERFORM correct_stock(p_id, NULL, stock);
  END IF;
  RETURN p_id;
END
$$;

-- Products and variants are kept, marked deleted; their slug and sku become free again.
CREATE FUNCTION delete_product(p_id bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
  UPDATE products_product
     SET deleted_at = now(), updated_at = now(), version = version + 1, is_active = false,
         slug = slug || '-deleted-' || id, sku = sku || '-deleted-' || id
   WHERE id = p_id AND deleted_at IS NULL;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  UPDATE products_productvariant SET deleted_at = now(), sku = sku || '-deleted-' || id
   WHERE product_id = p_id AND deleted_at IS NULL;
  RETURN p_id;
END
$$;

-- Products that are gone let go of their category; living ones and children keep it (23503).
CREATE FUNCTION release_category() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  UPDATE products_product SET category_id = NULL WHERE category_id = OLD.id AND deleted_at IS NOT NULL;
  IF EXISTS (SELECT FROM products_product WHERE category_id = OLD.id) OR
     EXISTS (SELECT FROM products_category WHERE parent_id = OLD.id) THEN
    PERFORM problem(409, 'category_in_use');
  END IF;
  RETURN OLD;
END
$$;
CREATE TRIGGER release_category BEFORE DELETE ON products_category
  FOR EACH ROW EXECUTE FUNCTION release_category();

-- The first variant takes over the product's own (empty) stock row's place.
CREATE FUNCTION create_variant(p_product_id bigint, p_body jsonb) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  product products_product;
BEGIN
  SELECT * INTO product FROM products_product
   WHERE id = p_product_id AND deleted_at IS NULL FOR UPDATE;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  PERFORM FROM products_stock
    WHERE product_id = p_product_id AND variant_id IS NULL AND on_hand <> 0 FOR UPDATE;
  IF FOUND AND NOT EXISTS (SELECT FROM products_productvariant WHERE product_id = p_product_id) THEN
    PERFORM problem(409, 'product_has_stock');
  END IF;
  UPDATE products_product SET version = version + 1, updated_at = now() WHERE id = p_product_id;
  RETURN add_variants(product, jsonb_build_array(p_body));
END
$$;

CREATE FUNCTION update_variant(p_product_id bigint, p_id bigint, p_body jsonb, p_whole boolean)
RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  product products_product;
  body    jsonb := CASE WHEN p_whole THEN '{"options": {}, "price": null}' ELSE '{}' END::jsonb || p_body;
BEGIN
  SELECT * INTO product FROM products_product
   WHERE id = p_product_id AND deleted_at IS NULL FOR UPDATE;
  UPDATE products_productvariant SET
    sku = CASE WHEN body ? 'sku' THEN nullif(body->>'sku', '') ELSE sku END,
    name = coalesce(nullif(body->>'name', ''), name),
    options = CASE WHEN body ? 'options' THEN coalesce(nullif(body->'options', 'null'), '{}') ELSE options END,
    price = CASE WHEN body ? 'price' THEN minor_units(body->>'price', product.currency) ELSE price END,
    version = version + 1, updated_at = now()
   WHERE id = p_id AND product_id = product.id AND deleted_at IS NULL;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  IF body->>'stock_quantity' IS NOT NULL THEN
    PERFORM correct_stock(p_product_id, p_id, (body->>'stock_quantity')::integer);
  END IF;
  RETURN p_id;
END
$$;

CREATE FUNCTION create_category(p_body jsonb) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  wanted   text := nullif(p_body->>'slug', '');
  category products_category;
BEGIN
  IF wanted IS NOT NULL THEN
    PERFORM check_slug(wanted);
  END IF;
  category.id := nextval(pg_get_serial_sequence('products_category', 'id'));
  category.slug := coalesce(wanted, slug_from(p_body->>'name', 'category-' || category.id));
  IF wanted IS NULL AND EXISTS (SELECT FROM products_category WHERE slug = category.slug) THEN
    category.slug := category.slug || '-' || category.id;
  END IF;
  INSERT INTO products_category (id, name, slug, parent_id, description)
  VALUES (category.id, p_body->>'name', category.slug, (p_body->>'parent_id')::bigint,
          coalesce(p_body->>'description', ''));
  RETURN category.id;
END
$$;

CREATE FUNCTION update_category(p_id bigint, p_body jsonb, p_whole boolean) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  body jsonb := CASE WHEN p_whole THEN '{"description": "", "parent_id": null}' ELSE '{}' END::jsonb || p_body;
BEGIN
  IF nullif(body->>'slug', '') IS NOT NULL THEN
    PERFORM check_slug(body->>'slug');
  END IF;
  UPDATE products_category SET
    name = coalesce(body->>'name', name),
    slug = coalesce(nullif(body->>'slug', ''), slug),
    parent_id = CASE WHEN body ? 'parent_id' THEN (body->>'parent_id')::bigint ELSE parent_id END,
    description = coalesce(body->>'description', description),
    version = version + 1, updated_at = now()
   WHERE id = p_id;
  RETURN CASE WHEN FOUND THEN p_id END;
END
$$;

-- ---- How it is shown ----

-- What can be bought of each product: its own stock row, or the sum of its living variants.
-- Lateral, so that one product's stock is counted without looking at the others.
CREATE VIEW product_stock AS
SELECT p.id AS product_id, s.available, s.variant_count
  FROM products_product p
 CROSS JOIN LATERAL (
   SELECT coalesce(sum(s.on_hand - s.reserved)
                     FILTER (WHERE s.variant_id IS NULL OR v.id IS NOT NULL), 0) AS available,
          count(v.id) AS variant_count
     FROM products_stock s
     LEFT JOIN products_productvariant v ON v.id = s.variant_id AND v.deleted_at IS NULL
    WHERE s.product_id = p.id) s;

CREATE VIEW category_shown AS
SELECT c.id, c.name, c.slug, c.parent_id,
       json_build_object('id', c.id, 'name', c.name, 'slug', c.slug, 'parent_id', c.parent_id,
                         'description', c.description, 'created_at', wire_time(c.created_at),
                         'updated_at', wire_time(c.updated_at)) AS json
  FROM products_category c;

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

-- From the root down to the product's own category.
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
