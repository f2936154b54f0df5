-- What belongs to a person: addresses and saved items.

CREATE TABLE users_address (
  id          bigint       GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  user_id     bigint       NOT NULL REFERENCES auth_user ON DELETE CASCADE,
  name        varchar(200) NOT NULL,
  line1       varchar(200) NOT NULL,
  line2       varchar(200) NOT NULL DEFAULT '',
  city        varchar(100) NOT NULL,
  region      varchar(100) NOT NULL DEFAULT '',
  postal_code varchar(20)  NOT NULL,
  country     varchar(2)   NOT NULL CONSTRAINT address_country_form CHECK (country ~ '^[A-Z]{2}$'),
  phone       varchar(32)  NOT NULL DEFAULT '',
  is_default  boolean      NOT NULL DEFAULT false,
  created_at  timestamptz  NOT NULL DEFAULT now(),
  updated_at  timestamptz  NOT NULL DEFAULT now()
);
CREATE INDEX ON users_address (user_id, id);
CREATE UNIQUE INDEX default_address_taken ON users_address (user_id) WHERE is_default;

CREATE TABLE users_saveditem (
  id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  user_id    bigint      NOT NULL REFERENCES auth_user ON DELETE CASCADE,
  product_id bigint      NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT saved_item_taken UNIQUE (user_id, product_id)
);
CREATE INDEX ON users_saveditem (user_id, id);

CREATE VIEW address AS
SELECT a.id, a.user_id,
       json_build_object(
         'id', a.id, 'name', a.name, 'line1', a.line1, 'line2', a.line2, 'city', a.city,
         'region', a.region, 'postal_code', a.postal_code, 'country', a.country, 'phone', a.phone,
         'is_default', a.is_default, 'created_at', wire_time(a.created_at),
         'updated_at', wire_time(a.updated_at)) AS json
  FROM users_address a;

CREATE VIEW saved_item AS
SELECT s.id, s.user_id, s.product_id,
       json_build_object('id', s.id, 'product_id', s.product_id,
                         'created_at', wire_time(s.created_at)) AS json
  FROM users_saveditem s;

-- One at a time changes what belongs to a person.  An update and no FOR UPDATE: whoever read
-- before the one in front of him wrote, under REPEATABLE READ, is told so and runs again.
CREATE FUNCTION lock_belongings(p_user_id bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  UPDATE auth_user SET last_login = last_login WHERE id = p_user_id;
  IF NOT FOUND THEN
    PERFORM problem(404, 'not_found');
  END IF;
END
$$;

-- Whether the address that is written is to be the default: as was said, else as it is; where
-- nothing was said of the first one, it is.
CREATE FUNCTION becomes_default(p_user_id bigint, p_id bigint, p_said boolean) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  IF p_said IS NOT NULL THEN
    RETURN p_said;
  ELSIF p_id IS NOT NULL THEN
    RETURN (SELECT a.is_default FROM users_address a WHERE a.id = p_id);
  END IF;
  RETURN NOT EXISTS (SELECT FROM users_address a WHERE a.user_id = p_user_id);
END
$$;

-- There is one default at most: whichever was it makes room.
CREATE FUNCTION make_room_for_default(p_user_id bigint, p_id bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  UPDATE users_address a SET is_default = false, updated_at = now()
   WHERE a.user_id = p_user_id AND a.is_default AND a.id IS DISTINCT FROM p_id;
END
$$;

CREATE FUNCTION create_address(p_user_id bigint, p_body jsonb) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  is_to_be boolean;
  created  bigint;
BEGIN
  PERFORM lock_belongings(p_user_id);
  IF (SELECT count(*) FROM users_address a WHERE a.user_id = p_user_id) >= 100 THEN
    PERFORM problem(409, 'addresses_full');
  END IF;
  is_to_be := becomes_default(p_user_id, NULL, (p_body ->> 'is_default')::boolean);
  IF is_to_be THEN
    PERFORM make_room_for_default(p_user_id, NULL);
  END IF;
  INSERT INTO users_address (user_id, name, line1, line2, city, region, postal_code, country, phone,
                             is_default)
  VALUES (p_user_id, p_body ->> 'name', p_body ->> 'line1', coalesce(p_body ->> 'line2', ''),
          p_body ->> 'city', coalesce(p_body ->> 'region', ''), p_body ->> 'postal_code',
          p_body ->> 'country', coalesce(p_body ->> 'phone', ''), is_to_be)
  RETURNING id INTO created;
  RETURN created;
END
$$;

-- Null: the user has no such address.
CREATE FUNCTION replace_address(p_user_id bigint, p_id bigint, p_body jsonb) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  is_to_be boolean;
BEGIN
  PERFORM lock_belongings(p_user_id);
  IF NOT EXISTS (SELECT FROM users_address a WHERE a.id = p_id AND a.user_id = p_user_id) THEN
    RETURN NULL;
  END IF;
  is_to_be := becomes_default(p_user_id, p_id, (p_body ->> 'is_default')::boolean);
  IF is_to_be THEN
    PERFORM make_room_for_default(p_user_id, p_id);
  END IF;
  UPDATE users_address a
     SET name = p_body ->> 'name', line1 = p_body ->> 'line1', line2 = coalesce(p_body ->> 'line2', ''),
         city = p_body ->> 'city', region = coalesce(p_body ->> 'region', ''),
         postal_code = p_body ->> 'postal_code', country = p_body ->> 'country',
         phone = coalesce(p_body ->> 'phone', ''), is_default = is_to_be, updated_at = now()
   WHERE a.id = p_id;
  RETURN p_id;
END
$$;

-- The newest of the others takes the place of a default that is deleted.  Null as above.
CREATE FUNCTION delete_address(p_user_id bigint, p_id bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  was_default boolean;
BEGIN
  PERFORM lock_belongings(p_user_id);
  DELETE FROM users_address a WHERE a.id = p_id AND a.user_id = p_user_id
  RETURNING a.is_default INTO was_default;
  IF was_default THEN
    UPDATE users_address a SET is_default = true, updated_at = now()
     WHERE a.id = (SELECT max(o.id) FROM users_address o WHERE o.user_id = p_user_id);
  END IF;
  RETURN CASE WHEN was_default IS NOT NULL THEN p_id END;
END
$$;

-- location is null for an item that was there already, which costs no lock.
CREATE FUNCTION save_item(p_user_id bigint, p_product_id bigint, OUT item json, OUT location text)
LANGUAGE plpgsql AS $$
DECLARE
  saved bigint;
BEGIN
  SELECT s.json INTO item FROM saved_item s WHERE s.user_id = p_user_id AND s.product_id = p_product_id;
  IF FOUND THEN
    RETURN;
  END IF;
  PERFORM lock_belongings(p_user_id);
  SELECT s.json INTO item FROM saved_item s WHERE s.user_id = p_user_id AND s.product_id = p_product_id;
  IF FOUND THEN
    RETURN;
  END IF;
  IF (SELECT count(*) FROM users_saveditem s WHERE s.user_id = p_user_id) >= 1000 THEN
    PERFORM problem(409, 'saved_items_full');
  END IF;
  INSERT INTO users_saveditem (user_id, product_id) VALUES (p_user_id, p_product_id) RETURNING id INTO saved;
  SELECT s.json INTO item FROM saved_item s WHERE s.id = saved;
  location := '/api/v1/auth/saved-items/' || saved || '/';
END
$$;
