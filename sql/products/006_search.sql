-- What is searched for, and found although it was mistyped.
--
-- Exact is what has all words of the search, in any of their forms, or has it as part of a SKU
-- (of three characters at least).  Too little is found where that is nothing at all, whatever else
-- the list is asked for: then names count that hold something similar.  So a search means the
-- same on every page, and a narrow filter is no typing error.

-- Comes to our own schema, unless the database has it in another one, which our functions and
-- indexes then name.
CREATE EXTENSION IF NOT EXISTS pg_trgm;
DO $$
BEGIN
  PERFORM set_config('search_path', format('%I, %I', current_schema, n.nspname), true)
     FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_trgm';
END
$$;

CREATE INDEX ON products_product USING gin (plain(name) gin_trgm_ops) WHERE deleted_at IS NULL;
CREATE INDEX ON products_product USING gin (sku gin_trgm_ops) WHERE deleted_at IS NULL;
CREATE INDEX ON products_productvariant USING gin (sku gin_trgm_ops) WHERE deleted_at IS NULL;

-- Those that have the words or the SKU.  A find in the name goes before any in the SKU, that one
-- before any in the description.
CREATE FUNCTION find_exactly(p_search text) RETURNS TABLE (id bigint, rank real)
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
#variable_conflict use_column
DECLARE
  words   tsquery := websearch_to_tsquery('english', plain(p_search));
  pattern text := CASE WHEN length(p_search) >= 3
                       THEN '%' || regexp_replace(p_search, '([\\%_])', '\\\1', 'g') || '%' END;
BEGIN
  RETURN QUERY
  SELECT p.id, (CASE WHEN ts_filter(p.search, '{a}') @@ words THEN 3
                     WHEN ts_filter(p.search, '{a,b}') @@ words OR NOT p.search @@ words THEN 2
                     ELSE 1 END + ts_rank(p.search, words))::real
    FROM products_product p
   WHERE p.id IN (SELECT w.id FROM products_product w WHERE w.search @@ words
                  UNION ALL
                  SELECT s.id FROM products_product s WHERE s.sku ILIKE pattern AND s.deleted_at IS NULL
                  UNION ALL
                  SELECT v.product_id FROM products_productvariant v
                   WHERE v.sku ILIKE pattern AND v.deleted_at IS NULL);
END
$$;

-- Those whose names hold something that looks like it: at least 0.3 of its trigrams, and not much
-- less than the best has.
CREATE FUNCTION find_similar(p_search text) RETURNS TABLE (id bigint, rank real)
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
#variable_conflict use_column
BEGIN
  PERFORM set_config('pg_trgm.word_similarity_threshold', '0.3', true);
  RETURN QUERY
  SELECT p.id, word_similarity(plain(p_search), plain(p.name))
    FROM products_product p
   WHERE plain(p_search) <% plain(p.name) AND p.deleted_at IS NULL;
END
$$;

CREATE FUNCTION find_products(p_search text, p_hidden_too boolean) RETURNS TABLE (id bigint, rank real)
LANGUAGE plpgsql STABLE ROWS 100 AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT f.id, f.rank FROM find_exactly(p_search) f JOIN products_product p USING (id)
   WHERE p.deleted_at IS NULL AND (p.is_active OR p_hidden_too);
  IF NOT FOUND THEN
    RETURN QUERY
    SELECT s.id, s.rank
      FROM (SELECT f.id, f.rank, max(f.rank) OVER () AS best
              FROM find_similar(p_search) f JOIN products_product p USING (id)
             WHERE p.is_active OR p_hidden_too) s
     WHERE s.rank >= 0.75 * s.best;
  END IF;
END
$$;
