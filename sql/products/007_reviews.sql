-- What customers say of products.

-- A product's count and sum of ratings change with its reviews, whoever writes them.
CREATE FUNCTION count_rating() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  UPDATE products_product
     SET rating_count = rating_count + (TG_OP <> 'DELETE')::integer - (TG_OP <> 'INSERT')::integer,
         rating_sum = rating_sum + coalesce(NEW.rating, 0) - coalesce(OLD.rating, 0)
   WHERE id = coalesce(NEW.product_id, OLD.product_id);
  RETURN NULL;
END
$$;
CREATE TRIGGER count_rating AFTER INSERT OR DELETE OR UPDATE OF rating ON products_review
  FOR EACH ROW EXECUTE FUNCTION count_rating();

-- Locks a product whose reviews are to change: one change waits for the other.  False: the caller
-- sees no such product.
CREATE FUNCTION lock_reviews(p_product_id bigint, p_hidden_too boolean) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM products_product
    WHERE id = p_product_id AND deleted_at IS NULL AND (is_active OR p_hidden_too) FOR NO KEY UPDATE;
  RETURN FOUND;
END
$$;

-- Null: no such product.
CREATE FUNCTION create_review(p_product_id bigint, p_user_id bigint, p_is_staff boolean, p_body jsonb,
                              p_purchased boolean) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  added bigint;
BEGIN
  IF lock_reviews(p_product_id, p_is_staff) THEN
    INSERT INTO products_review (product_id, user_id, rating, title, body, verified_purchase)
    VALUES (p_product_id, p_user_id, (p_body->>'rating')::integer, coalesce(p_body->>'title', ''),
            coalesce(p_body->>'body', ''), p_purchased)
    RETURNING id INTO added;
  END IF;
  RETURN added;
END
$$;

-- The review, for its author and staff to change; anybody else is refused.  Null: not there.
CREATE FUNCTION own_review(p_product_id bigint, p_id bigint, p_user_id bigint, p_is_staff boolean,
                           OUT review products_review)
LANGUAGE plpgsql AS $$
BEGIN
  IF lock_reviews(p_product_id, p_is_staff) THEN
    SELECT * INTO review FROM products_review WHERE id = p_id AND product_id = p_product_id FOR UPDATE;
  END IF;
  IF review.user_id <> p_user_id AND NOT p_is_staff THEN
    PERFORM problem(403, 'permission_denied');
  END IF;
END
$$;

-- Whether the author had bought the product stays as it was when the review was first written.
CREATE FUNCTION replace_review(p_product_id bigint, p_id bigint, p_user_id bigint, p_is_staff boolean,
                               p_body jsonb) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  review products_review := own_review(p_product_id, p_id, p_user_id, p_is_staff);
BEGIN
  UPDATE products_review
     SET rating = (p_body->>'rating')::integer, title = coalesce(p_body->>'title', ''),
         body = coalesce(p_body->>'body', ''), updated_at = now()
   WHERE id = review.id;
  RETURN review.id;
END
$$;

CREATE FUNCTION delete_review(p_product_id bigint, p_id bigint, p_user_id bigint, p_is_staff boolean)
RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  review products_review := own_review(p_product_id, p_id, p_user_id, p_is_staff);
BEGIN
  DELETE FROM products_review WHERE id = review.id;
  RETURN review.id;
END
$$;

-- Authors are ids here: who they are is the business of users.
CREATE VIEW review_shown AS
SELECT r.id, r.product_id, r.rating, r.created_at,
       json_build_object('id', r.id, 'product_id', r.product_id, 'user_id', r.user_id, 'rating', r.rating,
                         'title', r.title, 'body', r.body, 'verified_purchase', r.verified_purchase,
                         'created_at', wire_time(r.created_at), 'updated_at', wire_time(r.updated_at)) AS json
  FROM products_review r;
