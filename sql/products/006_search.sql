-- The search for products, which finds what was mistyped, too.
--
-- A product is found that has all words of the search, in any of their forms, or a SKU of which the
-- search (of three characters at least) is a part.  Only where there is none in the whole shop are
-- products found whose names hold something similar.  The list's filters have no part in that, so
-- a search means the same on every page, and a narrow filter does not pass for a typing error.

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

-- Products by their words and by SKU, 10,000 of each at most, so that a word which all names have
-- costs no more than that.  What has the words in its name ranks above what has them in its SKU,
-- and that above what has them in its description.
CREATE FUNCTION find_exactly(p_search text, p_hidden_too boolean) RETURNS TABLE (id bigint, rank real)
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
#variable_conflict use_column
DECLARE
  words   tsquery := websearch_to_tsquery('english', plain(p_search));
  -- The same without the places of the words, which the index does not know.
  loose   tsquery := CASE WHEN words::text LIKE '%!%' THEN words
                          ELSE regexp_replace(words::text, ' <(-|\d+)> ', ' & ', 'g')::tsquery END;
  pattern text := CASE WHEN length(p_search) >= 3
                       THEN '%' || regexp_replace(p_search, '([\\%_])', '\\\1', 'g') || '%' END;
BEGIN
  RETURN QUERY
  SELECT p.id, (CASE WHEN ts_filter(p.search, '{a}') @@ words THEN 3
                     WHEN ts_filter(p.search, '{a,b}') @@ words OR NOT p.search @@ words THEN 2
                     ELSE 1 END + ts_rank(p.search, words))::real
    FROM products_product p
   WHERE p.id IN (SELECT w.id
                    FROM (SELECT l.id, l.search FROM products_product l
                           WHERE l.search @@ loose AND l.deleted_at IS NULL AND (l.is_active OR p_hidden_too)
                           LIMIT 10000) w
                   WHERE w.search @@ words
                  UNION ALL
                  (SELECT s.id FROM products_product s
                    WHERE s.sku ILIKE pattern AND s.deleted_at IS NULL AND (s.is_active OR p_hidden_too)
                    LIMIT 10000)
                  UNION ALL
                  (SELECT v.product_id FROM products_productvariant v
                    WHERE v.sku ILIKE pattern AND v.deleted_at IS NULL LIMIT 10000))
     AND p.deleted_at IS NULL AND (p.is_active OR p_hidden_too);
END
$$;

-- Whether one more name may be compared.  The index finds names that have the trigrams anywhere, in
-- long lists all of them; to compare each would take seconds.
CREATE FUNCTION may_compare() RETURNS boolean
LANGUAGE plpgsql VOLATILE COST 0.1 AS $$
DECLARE
  remaining integer := current_setting('arnova.comparisons');
BEGIN
  IF remaining > 0 THEN
    PERFORM set_config('arnova.comparisons', (remaining - 1)::text, true);
  END IF;
  RETURN remaining > 0;
END
$$;

-- Up to 500 whose names have at least so much of what was typed, among 3,000 that may have it.
CREATE FUNCTION find_candidates(p_typed text, p_least real, p_hidden_too boolean) RETURNS bigint[]
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
  PERFORM set_config('pg_trgm.word_similarity_threshold', p_least::text, true);
  PERFORM set_config('arnova.comparisons', '3000', true);
  RETURN (SELECT array_agg(c.id)
            FROM (SELECT p.id FROM products_product p
                   WHERE may_compare() AND p_typed <% plain(p.name) AND p.deleted_at IS NULL AND (p.is_active OR p_hidden_too)
                   LIMIT 500) c);
END
$$;

-- Those whose names hold something that looks like its first words: at least 0.3 of the trigrams,
-- and not much less than the best has.  The nearest are asked for first, so that only few names
-- are ever compared.
CREATE FUNCTION find_similar(p_search text, p_hidden_too boolean) RETURNS TABLE (id bigint, rank real)
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
#variable_conflict use_column
DECLARE
  typed text := array_to_string((regexp_split_to_array(btrim(left(plain(p_search), 60)), '\s+'))[1:4], ' ');
  least real;
  near  bigint[];
BEGIN
  FOREACH least IN ARRAY '{0.6, 0.3}'::real[] LOOP
    near := find_candidates(typed, least, p_hidden_too);
    EXIT WHEN near IS NOT NULL;
  END LOOP;
  IF near IS NOT NULL AND cardinality(near) < 500 AND least > 0.3 THEN
    near := near || find_candidates(typed, greatest(0.3, 0.75 * least)::real, p_hidden_too);
  END IF;
  RETURN QUERY
  SELECT s.id, s.rank
    FROM (SELECT c.id, c.rank, max(c.rank) OVER () AS best
            FROM (SELECT p.id, word_similarity(typed, plain(p.name)) AS rank
                    FROM products_product p WHERE p.id = ANY (near)) c) s
   WHERE s.rank >= 0.75 * s.best;
END
$$;

CREATE FUNCTION find_products(p_search text, p_hidden_too boolean) RETURNS TABLE (id bigint, rank real)
LANGUAGE plpgsql STABLE ROWS 100 AS $$
BEGIN
  IF p_search !~ '[[:alnum:]]' THEN
    RETURN; -- nothing that any index knows
  END IF;
  RETURN QUERY SELECT f.id, f.rank FROM find_exactly(p_search, p_hidden_too) f;
  IF NOT FOUND THEN
    RETURN QUERY SELECT f.id, f.rank FROM find_similar(p_search, p_hidden_too) f;
  END IF;
END
$$;
