-- Products from another shop's file: what is there becomes what the file says, whatever came
-- before, so that a second import of the same file changes nothing.

-- The id of the category at the end of a path, ["Home", "Lighting"]; what is missing is made.
-- Null for an empty path.
CREATE FUNCTION category_at(p_path jsonb) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  step  text;
  place bigint;
  above bigint;
BEGIN
  PERFORM lock_categories();
  FOR step IN SELECT * FROM jsonb_array_elements_text(p_path) LOOP
    above := place;
    SELECT min(id) INTO place FROM products_category
     WHERE name = step AND parent_id IS NOT DISTINCT FROM above;
    IF place IS NULL THEN
      place := create_category(jsonb_build_object('name', step, 'parent_id', above));
    END IF;
  END LOOP;
  RETURN place;
END
$$;

-- A variant of the file is the known one with its sku, else the one with its options.  Those
-- that the file does not name are deleted.
CREATE FUNCTION import_variants(p_product products_product, p_variants jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  item  jsonb;
  known products_productvariant;
  kept  bigint[] := '{}';
BEGIN
  FOR item IN SELECT * FROM jsonb_array_elements(p_variants) LOOP
    SELECT * INTO known FROM products_productvariant v
     WHERE v.product_id = p_product.id AND v.deleted_at IS NULL AND v.id <> ALL (kept)
       AND (v.sku = item->>'sku' OR v.options = item->'options')
     ORDER BY (v.sku = item->>'sku') DESC NULLS LAST, v.id LIMIT 1;
    IF NOT FOUND THEN
      kept := kept || add_variants(p_product, jsonb_build_array(item));
      CONTINUE;
    END IF;
    kept := kept || known.id;
    IF (item ? 'sku' AND known.sku IS DISTINCT FROM item->>'sku') OR
       (known.name, known.options, known.price) IS DISTINCT FROM
       (item->>'name', item->'options', minor_units(item->>'price', p_product.currency)) THEN
      PERFORM update_variant(p_product.id, known.id, item - 'stock_quantity', false);
    END IF;
    IF item ? 'stock_quantity' THEN
      PERFORM correct_stock(p_product.id, known.id, (item->>'stock_quantity')::integer);
    END IF;
  END LOOP;
  UPDATE products_productvariant SET deleted_at = now(), version = version + 1
   WHERE product_id = p_product.id AND deleted_at IS NULL AND id <> ALL (kept);
END
$$;

-- The product's own stock row counts for a product without variants alone.
CREATE FUNCTION import_own_stock(p_product_id bigint, p_has_variants boolean, p_quantity integer)
RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM products_stock WHERE product_id = p_product_id AND variant_id IS NULL) THEN
    IF p_has_variants OR p_quantity IS NOT NULL THEN
      PERFORM correct_stock(p_product_id, NULL, CASE WHEN p_has_variants THEN 0 ELSE p_quantity END);
    END IF;
  ELSIF NOT p_has_variants THEN
    PERFORM open_stock(p_product_id, NULL, coalesce(p_quantity, 0));
  END IF;
END
$$;

-- Images are known by their URL.
CREATE FUNCTION import_images(p_product_id bigint, p_images jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  added jsonb;
BEGIN
  DELETE FROM products_productimage i
   WHERE i.product_id = p_product_id
     AND NOT EXISTS (SELECT FROM jsonb_array_elements(p_images) n WHERE n->>'url' = i.url);
  UPDATE products_productimage i SET alt = n->>'alt', position = (n->>'position')::integer
    FROM jsonb_array_elements(p_images) n
   WHERE i.product_id = p_product_id AND i.url = n->>'url'
     AND (i.alt, i.position) IS DISTINCT FROM (n->>'alt', (n->>'position')::integer);
  SELECT jsonb_agg(n) INTO added FROM jsonb_array_elements(p_images) n
   WHERE NOT EXISTS (SELECT FROM products_productimage i
                      WHERE i.product_id = p_product_id AND i.url = n->>'url');
  PERFORM add_images(p_product_id, coalesce(added, '[]'));
END
$$;

-- The body is that of create_product(), with `category` as a path of names.  Returns 'new',
-- 'changed' or 'same'.  What the body does not mention stays as it was.
CREATE FUNCTION import_product(p_body jsonb, p_currency text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  product  products_product;
  body     jsonb := p_body - 'category';
  variants jsonb := coalesce(p_body->'variants', '[]');
  before   jsonb;
BEGIN
  IF p_body ? 'category' THEN
    body := body || jsonb_build_object('category_id', category_at(p_body->'category'));
  END IF;
  SELECT * INTO product FROM products_product
   WHERE slug = p_body->>'slug' AND deleted_at IS NULL FOR UPDATE;
  IF NOT FOUND THEN
    PERFORM create_product(body, p_currency);
    RETURN 'new';
  END IF;
  -- In the order in which checkout takes them.
  PERFORM FROM products_stock WHERE product_id = product.id ORDER BY id FOR UPDATE;
  SELECT json INTO STRICT before FROM product_full WHERE id = product.id;
  body := body - '{variants,images,stock_quantity}'::text[] || jsonb_build_object('currency', p_currency);
  IF product.currency <> p_currency THEN
    -- The file says all prices anew.
    UPDATE products_productvariant SET price = NULL WHERE product_id = product.id AND deleted_at IS NULL;
    body := '{"compare_at_price": null}' || body;
  END IF;
  IF NOT before @> body THEN
    PERFORM update_product(product.id, body, false);
    product.currency := p_currency;
  END IF;
  PERFORM import_variants(product, variants);
  PERFORM import_own_stock(product.id, variants <> '[]', (p_body->>'stock_quantity')::integer);
  IF p_body ? 'images' THEN
    PERFORM import_images(product.id, p_body->'images');
  END IF;
  RETURN (SELECT CASE WHEN json - 'updated_at' = before - 'updated_at' THEN 'same' ELSE 'changed' END
            FROM product_full WHERE id = product.id);
END
$$;
