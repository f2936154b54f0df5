# database.bats: what each service's role may and may not do, and what happens when connections end.
# shellcheck shell=bash disable=SC2154

setup() {
	load helper
}

services() {
	echo products orders users cart payments
}

# Tables, views and sequences of a schema, "KIND NAME" a line.
relations_of() {
	psql_owner "SELECT concat(relkind, ' ', quote_ident(relname)) FROM pg_class
		WHERE relnamespace = '$1'::regnamespace AND relkind IN ('r', 'v', 'S') ORDER BY relname"
}

# sqlstates SERVICE: runs the statements of the input, one a line, as the service's role; prints
# each behind its SQLSTATE, 00000 where it was allowed. What was allowed is undone.
sqlstates() {
	local url=${1^^}_DATABASE_URL statements
	statements=$(cat)
	paste -d ' ' <(sed 's/.*/BEGIN;\n&;\n\\echo :SQLSTATE\nROLLBACK;/' <<<"$statements" |
		psql -XAtq -o /dev/null -d "${!url}" 2>/dev/null) - <<<"$statements"
}

# refused SERVICE: each statement of the input must end in 42501, insufficient privilege.
refused() {
	local allowed
	allowed=$(sqlstates "$1" | grep -v '^42501 ') || return 0
	complain "$1 may do what it must not: $allowed"
}

statements_against() {
	local kind name
	relations_of "$1" | while read -r kind name; do
		if [[ $kind == S ]]; then
			echo "SELECT nextval('$1.$name')"
			continue
		fi
		echo "SELECT FROM $1.$name"
		echo "DELETE FROM $1.$name"
		[[ $kind == r ]] || continue
		echo "INSERT INTO $1.$name DEFAULT VALUES"
		echo "UPDATE $1.$name SET ctid = ctid"
		echo "TRUNCATE $1.$name"
		echo "LOCK TABLE $1.$name"
	done
}

@test "no role sees anything of another service" {
	local role schema
	for role in $(services); do
		for schema in $(services); do
			[[ $schema != "$role" ]] || continue
			[[ $(relations_of "$schema" | wc -l) -ge 5 ]]
			{
				statements_against "$schema"
				echo "SELECT $schema.emit('t', 1, 1, '{}')"
				echo "CREATE TABLE $schema.intruder (id integer)"
			} | refused "$role"
		done
	done
}

@test "the check above would notice a grant" {
	psql_owner 'GRANT USAGE ON SCHEMA users TO cart; GRANT SELECT ON users.auth_user TO cart'
	run refused cart < <(statements_against users)
	psql_owner 'REVOKE ALL ON SCHEMA users FROM cart; REVOKE ALL ON users.auth_user FROM cart'
	[[ $status -ne 0 && $output == *'00000 SELECT FROM users.auth_user'* ]]
}

@test "a role uses its own tables, makes none and changes none" {
	local role
	for role in $(services); do
		sqlstates "$role" <<<"DELETE FROM $role.event_inbox" | grep -q ^00000
		refused "$role" <<-END
			CREATE TABLE $role.intruder (id integer)
			CREATE TABLE public.intruder (id integer)
			CREATE TEMPORARY TABLE intruder (id integer)
			CREATE SCHEMA intruder
			CREATE FUNCTION $role.intruder() RETURNS integer LANGUAGE sql AS 'SELECT 1'
			ALTER TABLE $role.event_outbox ADD COLUMN intruder integer
			ALTER TABLE $role.event_outbox DISABLE TRIGGER ALL
			DROP TABLE $role.event_outbox
			TRUNCATE $role.event_outbox
			CREATE INDEX ON $role.event_outbox (type)
			DELETE FROM $role.schema_migration
			UPDATE $role.schema_migration SET checksum = ''
		END
	done
}

@test "a role has no power over the server, its files or other roles" {
	local role
	for role in $(services); do
		refused "$role" <<-END
			COPY $role.event_inbox FROM PROGRAM 'id'
			COPY $role.event_inbox TO '/tmp/arnova-intruder'
			SELECT pg_read_file('postgresql.conf')
			SELECT pg_ls_dir('.')
			SELECT lo_import('/etc/passwd')
			SELECT pg_reload_conf()
			SELECT passwd FROM pg_shadow
			SELECT rolpassword FROM pg_authid
			CREATE EXTENSION dblink
			CREATE ROLE intruder
			ALTER ROLE $role SUPERUSER
			SET ROLE arnova
			SET SESSION AUTHORIZATION arnova
			SET session_replication_role = replica
		END
	done
	[[ $(psql_owner "SELECT count(*) FROM pg_roles WHERE rolname IN ('products', 'orders', 'users', 'cart', 'payments')
		AND NOT (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls)
		AND rolconnlimit > 0") == 5 ]]
	[[ $(psql_owner "SELECT count(*) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member
		WHERE r.rolname IN ('products', 'orders', 'users', 'cart', 'payments')") == 0 ]]
}

@test "workers whose connections were ended serve the next request" {
	local service code
	for service in $(services); do
		curl --silent -o /dev/null "$(listener "$service")/health/ready?[1-16]"
	done
	[[ $(psql_owner "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE usename IN ('products', 'orders', 'users', 'cart', 'payments')") -ge 5 ]]
	for service in $(services); do
		for code in $(curl --silent -o /dev/null -w '%{http_code} ' "$(listener "$service")/health/ready?[1-16]"); do
			[[ $code == 200 ]] || complain "$service answers $code"
		done
	done
}

listener() {
	local name=${1^^}_SERVICE_URL
	echo "${!name}"
}

@test "a connection that ends in the middle of a transaction leaves neither a row nor a key" {
	local key
	key=$(idem)
	TOKEN=$(staff_token)
	psql_owner "CREATE FUNCTION products.slow() RETURNS trigger LANGUAGE plpgsql AS
			'BEGIN PERFORM pg_sleep(4); RETURN NEW; END';
		CREATE TRIGGER slow BEFORE INSERT ON products.products_category
			FOR EACH ROW WHEN (NEW.name = 'Cut $key') EXECUTE FUNCTION products.slow()"
	ended() {
		[[ $(psql_owner "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE usename = 'products' AND wait_event = 'PgSleep'") != 0 ]]
	}
	wait_for 60 ended 3>&- &
	api POST /api/v1/products/categories/ "{\"name\":\"Cut $key\"}" -H "Idempotency-Key: $key"
	wait
	psql_owner 'DROP TRIGGER slow ON products.products_category; DROP FUNCTION products.slow()'
	expect_problem 503 upstream_unavailable
	expect_header Retry-After '[0-9]+'
	api POST /api/v1/products/categories/ "{\"name\":\"Cut $key\"}" -H "Idempotency-Key: $key"
	expect_status 201
	[[ $(psql_owner "SELECT count(*) FROM products.products_category WHERE name = 'Cut $key'") == 1 ]]
}

@test "a key whose beginning failed is not left locked, and no row goes into the log" {
	local key
	key=$(idem)
	TOKEN=$(staff_token)
	psql_owner "CREATE FUNCTION products.no_room() RETURNS trigger LANGUAGE plpgsql AS
			'BEGIN RAISE EXCEPTION ''no room'' USING ERRCODE = ''53100'', DETAIL = ''row of $key''; END';
		CREATE TRIGGER no_room BEFORE INSERT ON products.idempotency_key FOR EACH ROW EXECUTE FUNCTION products.no_room()"
	api POST /api/v1/products/categories/ '{"name":"No room"}' -H "Idempotency-Key: $key"
	psql_owner 'DROP TRIGGER no_room ON products.idempotency_key; DROP FUNCTION products.no_room()'
	expect_problem 503 upstream_unavailable
	[[ $(psql_owner "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE l.locktype = 'advisory' AND a.usename = 'products'") == 0 ]]
	! grep -q "row of $key" "$VAR/log/products.log"
}

@test "no role gets into another database" {
	local role url
	for role in $(services); do
		url=${role^^}_DATABASE_URL
		run psql -XAtq -d "${!url/\/arnova\?//postgres?}" -c 'SELECT 1'
		[[ $status -ne 0 && $output == *'permission denied for database'* ]]
	done
}
