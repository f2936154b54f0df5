-- migrate.sql: what `arnova migrate` lays down for its session alone before it begins.

-- One migrate at a time, until the session ends.
CREATE PROCEDURE pg_temp.wait_for_turn() LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_lock(hashtextextended('arnova migrate', 0));
END
$$;

-- The checksum under which a migration was applied; '' when it was not.
CREATE FUNCTION pg_temp.applied_checksum(p_schema text, p_name text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  found text;
BEGIN
  IF to_regclass(format('%I.schema_migration', p_schema)) IS NOT NULL THEN
    EXECUTE format('SELECT checksum FROM %I.schema_migration WHERE name = $1', p_schema)
       INTO found USING p_name;
  END IF;
  RETURN coalesce(found, '');
END
$$;

-- Makes a schema where it is missing, and the only one that names are looked up in until the
-- transaction ends.
CREATE PROCEDURE pg_temp.enter(p_schema text) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I', p_schema);
  EXECUTE format('CREATE TABLE IF NOT EXISTS %I.schema_migration (
                    name       text        PRIMARY KEY,
                    checksum   text        NOT NULL, -- SHA-256 of the file
                    applied_at timestamptz NOT NULL DEFAULT now())', p_schema);
  PERFORM set_config('search_path', quote_ident(p_schema), true);
END
$$;

CREATE PROCEDURE pg_temp.record(p_schema text, p_name text, p_checksum text) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('INSERT INTO %I.schema_migration (name, checksum) VALUES ($1, $2)', p_schema)
    USING p_name, p_checksum;
END
$$;

-- The service's own login role may use what is there and change none of it.
CREATE PROCEDURE pg_temp.grant_use(p_schema text) LANGUAGE plpgsql AS $$
DECLARE
  statement text;
BEGIN
  FOREACH statement IN ARRAY ARRAY[
    'REVOKE ALL ON SCHEMA %1$I FROM PUBLIC',
    'REVOKE ALL ON ALL TABLES IN SCHEMA %1$I FROM PUBLIC',
    'REVOKE ALL ON ALL ROUTINES IN SCHEMA %1$I FROM PUBLIC'] LOOP
    EXECUTE format(statement, p_schema);
  END LOOP;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = p_schema) THEN
    RETURN;
  END IF;
  FOREACH statement IN ARRAY ARRAY[
    'GRANT USAGE ON SCHEMA %1$I TO %1$I',
    'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %1$I TO %1$I',
    'REVOKE INSERT, UPDATE, DELETE ON %1$I.schema_migration FROM %1$I',
    'GRANT USAGE ON ALL SEQUENCES IN SCHEMA %1$I TO %1$I',
    'GRANT EXECUTE ON ALL ROUTINES IN SCHEMA %1$I TO %1$I'] LOOP
    EXECUTE format(statement, p_schema);
  END LOOP;
END
$$;
