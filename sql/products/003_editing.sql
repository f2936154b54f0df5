-- Changes by staff.

-- Locks a product that is to change, or anything that belongs to it: one change waits for the
-- other.  Null: no such product.
CREATE FUNCTION touch_product(p_id bigint, OUT product products_product)
LANGUAGE plpgsql AS $$
BEGIN
  UPDATE products_product SET version = version + 1, updated_at = now()
   WHERE id = p_id AND deleted_at IS NULL RETURNING * INTO product;
END
$$;

-- The name of a variant that was given none: "Red / L".  Null without options.
CREATE FUNCTION variant_name(p_options jsonb) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
  SELECT nullif(string_agg(value, ' / '), '') FROM jsonb_each_text(p_options)
$$;

-- Adds variants from JSON: [{name?, sku?, options?, price?, stock_quantity?}]; p_path is where
-- they stand in the client's body.  Returns the id of the last.
CREATE FUNCTION add_variants(p_product products_product, p_variants jsonb, p_path text DEFAULT 'variants[%s].')
RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  item  jsonb;
  place bigint;
  added bigint;
BEGIN
  FOR item, place IN SELECT * FROM jsonb_array_elements(p_variants) WITH ORDINALITY LOOP
    item := '{"options": {}}' || jsonb_strip_nulls(item);
    INSERT INTO products_productvariant (product_id, sku, name, options, price)
    VALUES (p_product.id, nullif(item->>'sku', ''),
            coalesce(nullif(item->>'name', ''), variant_name(item->'options'), 'Variant ' || place),
            item->'options',
            minor_units(item->>'price', p_product.currency, format(p_path, place - 1) || 'price'))
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
  total    bigint;
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
  -- A name may come twice, at the same moment too; a slug that nobody chose gives way.
  PERFORM pg_advisory_xact_lock(hashtextextended('products_product ' || product.slug, 0));
  IF wanted IS NULL AND (is_reserved_slug(product.slug) OR
       EXISTS (SELECT FROM products_product WHERE slug = product.slug AND deleted_at IS NULL)) THEN
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

-- 1999 cents are not 1999 yen: another currency needs all prices anew.
CREATE FUNCTION check_new_currency(p_product products_product, p_body jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF p_body->>'price' IS NULL THEN
    PERFORM invalid('price', 'Another currency needs another price.');
  ELSIF p_product.compare_at_price IS NOT NULL AND NOT p_body ? 'compare_at_price' THEN
    PERFORM invalid('compare_at_price', 'Another currency needs another price.');
  ELSIF EXISTS (SELECT FROM products_productvariant
                 WHERE product_id = p_product.id AND deleted_at IS NULL AND price IS NOT NULL) THEN
    PERFORM invalid('currency', format('The product has variants with prices in %s.', p_product.currency));
  END IF;
END
$$;

-- PATCH changes what was sent.  PUT (p_whole) gives what was left out its default, but for stock,
-- sku and slug, which stay.  Null: no such product.
CREATE FUNCTION update_product(p_id bigint, p_body jsonb, p_whole boolean) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  product products_product := touch_product(p_id);
  body    jsonb := p_body;
  stock   integer := (p_body->>'stock_quantity')::integer;
BEGIN
  IF product.id IS NULL THEN
    RETURN NULL;
  END IF;
  IF p_whole THEN
    body := '{"description": "", "compare_at_price": null, "category_id": null, "is_active": true}' || body;
  END IF;
  IF nullif(body->>'slug', '') IS NOT NULL THEN
    PERFORM check_slug(body->>'slug');
  END IF;
  IF body->>'currency' <> product.currency THEN
    PERFORM check_new_currency(product, body);
    product.currency := body->>'currency';
  END IF;
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
    is_active = coalesce((body->>'is_active')::boolean, is_active)
   WHERE id = p_id;
  IF stock IS NULL THEN
    RETURN p_id;
  ELSIF has_variants(p_id) THEN
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
DECLARE
  product products_product := touch_product(p_id);
BEGIN
  UPDATE products_product SET deleted_at = now(), is_active = false WHERE id = product.id;
  UPDATE products_productvariant SET deleted_at = now(), version = version + 1
   WHERE product_id = product.id AND deleted_at IS NULL;
  RETURN product.id;
END
$$;

-- ---- Variants ----

-- With its first variant the product's own stock row counts no more, so nothing may be left in it.
CREATE FUNCTION create_variant(p_product_id bigint, p_body jsonb) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  product products_product := touch_product(p_product_id);
BEGIN
  IF product.id IS NULL THEN
    RETURN NULL;
  END IF;
  IF NOT has_variants(p_product_id) AND EXISTS (
       SELECT FROM products_stock WHERE product_id = p_product_id AND variant_id IS NULL AND on_hand <> 0) THEN
    PERFORM problem(409, 'product_has_stock');
  END IF;
  RETURN add_variants(product, jsonb_build_array(p_body), '');
END
$$;

-- A variant without a price of its own shows the product's; sent back, that stays the product's.
CREATE FUNCTION variant_price(p_product products_product, p_variant products_productvariant, p_body jsonb)
RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  sent bigint := minor_units(p_body->>'price', p_product.currency);
BEGIN
  RETURN CASE WHEN NOT p_body ? 'price' THEN p_variant.price
              WHEN p_variant.price IS NULL AND sent = p_product.price THEN NULL
              ELSE sent END;
END
$$;

-- PATCH changes what was sent.  PUT (p_whole) gives what was left out its default, but for stock
-- and sku, which stay.  Null: no such variant.
CREATE FUNCTION update_variant(p_product_id bigint, p_id bigint, p_body jsonb, p_whole boolean)
RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  product products_product := touch_product(p_product_id);
  variant products_productvariant;
  body    jsonb := CASE WHEN p_whole THEN '{"name": "", "options": {}, "price": null}' ELSE '{}' END::jsonb || p_body;
BEGIN
  SELECT * INTO variant FROM products_productvariant
   WHERE id = p_id AND product_id = product.id AND deleted_at IS NULL;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  IF body ? 'options' THEN
    variant.options := coalesce(nullif(body->'options', 'null'), '{}');
  END IF;
  IF body ? 'name' THEN
    variant.name := coalesce(nullif(body->>'name', ''), variant_name(variant.options), variant.name);
  END IF;
  UPDATE products_productvariant SET
    sku = CASE WHEN body ? 'sku' THEN nullif(body->>'sku', '') ELSE sku END,
    name = variant.name,
    options = variant.options,
    price = variant_price(product, variant, body),
    version = version + 1, updated_at = now()
   WHERE id = p_id;
  IF body->>'stock_quantity' IS NOT NULL THEN
    PERFORM correct_stock(p_product_id, p_id, (body->>'stock_quantity')::integer);
  END IF;
  RETURN p_id;
END
$$;

-- What is reserved of it stays reserved: orders keep what they hold.
CREATE FUNCTION delete_variant(p_product_id bigint, p_id bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  product products_product := touch_product(p_product_id);
BEGIN
  UPDATE products_productvariant SET deleted_at = now(), version = version + 1
   WHERE id = p_id AND product_id = product.id AND deleted_at IS NULL;
  RETURN CASE WHEN FOUND THEN p_id END;
END
$$;

-- ---- Images ----

CREATE FUNCTION create_image(p_product_id bigint, p_body jsonb) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  product products_product := touch_product(p_product_id);
BEGIN
  IF product.id IS NULL THEN
    RETURN NULL;
  END IF;
  RETURN add_images(product.id, jsonb_build_array(p_body));
END
$$;

CREATE FUNCTION update_image(p_product_id bigint, p_id bigint, p_body jsonb) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  product products_product := touch_product(p_product_id);
BEGIN
  UPDATE products_productimage SET
    url = coalesce(p_body->>'url', url),
    alt = coalesce(p_body->>'alt', alt),
    position = coalesce((p_body->>'position')::integer, position)
   WHERE id = p_id AND product_id = product.id;
  RETURN CASE WHEN FOUND THEN p_id END;
END
$$;

CREATE FUNCTION delete_image(p_product_id bigint, p_id bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  product products_product := touch_product(p_product_id);
BEGIN
  DELETE FROM products_productimage
   WHERE id = p_id AND product_id = product.id;
  RETURN CASE WHEN FOUND THEN p_id END;
END
$$;

-- ---- Categories ----

CREATE FUNCTION create_category(p_body jsonb) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  wanted   text := nullif(p_body->>'slug', '');
  category products_category;
BEGIN
  PERFORM lock_categories();
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
  PERFORM lock_categories();
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

-- Products that are gone let go of their category; living ones and children keep it.
CREATE FUNCTION delete_category(p_id bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
  UPDATE products_product SET category_id = NULL WHERE category_id = p_id AND deleted_at IS NOT NULL;
  DELETE FROM products_category WHERE id = p_id;
  RETURN CASE WHEN FOUND THEN p_id END;
EXCEPTION WHEN foreign_key_violation THEN
  PERFORM problem(409, 'category_in_use');
END
$$;
