# shellcheck shell=sh
# postgres.sh: the instance's private PostgreSQL: Unix socket only, five roles, one database.

postgres_programs() {
	bin=$(pg_config --bindir 2>/dev/null || true)
	[ -x "$bin/initdb" ] || bin=$(find /usr/lib/postgresql -name initdb 2>/dev/null |
		sort -V | tail -n 1 | xargs -r dirname)
	[ -x "$bin/initdb" ] || fail "could not find initdb: is PostgreSQL installed?"
	echo "$bin"
}

# PostgreSQL refuses to run as root.
as_postgres() {
	if [ "$(id -u)" = 0 ]; then
		(cd / && runuser -u postgres -- "$@")
	else
		"$@"
	fi
}

give_to_postgres() {
	[ "$(id -u)" != 0 ] || chown postgres: "$@"
}

# Where the cluster may live: under VAR, else where the server's user can go.
choose_postgres_folders() {
	PGDATA=$VAR/pg PGHOST=$RUN/postgres
	mkdir -p "$PGDATA"
	give_to_postgres "$PGDATA"
	as_postgres test -w "$PGDATA" && as_postgres test -x "$RUN" && return
	rmdir "$PGDATA" 2>/dev/null || fail "user postgres can no longer reach $PGDATA"
	PGDATA=$(outside_folder)/pg PGHOST=$(outside_folder)/postgres
	[ -r "$VAR/env" ] || set_aside
	[ -d "$PGDATA" ] ||
		echo "the database lives in $PGDATA: its server's user cannot reach $VAR"
}

# VAR was removed, and with it the passwords of the cluster that it had outside.
set_aside() {
	[ -d "$PGDATA" ] || return 0
	stop_postgres
	mv "$PGDATA" "$PGDATA-$(date +%Y%m%d%H%M%S)"
	echo "the database of a former instance was moved to $PGDATA-*"
}

write_postgres_settings() {
	cat >"$PGDATA/postgresql.conf" <<-END
		# Written at each start of the instance.
		listen_addresses = ''
		unix_socket_directories = '$PGHOST'
		unix_socket_permissions = 0700
		max_connections = $(max_connections)
		password_encryption = scram-sha-256
		shared_buffers = 128MB
		fsync = on
		timezone = 'UTC'
		log_timezone = 'UTC'
		log_line_prefix = '%m [%p] %u '
	END
	echo 'local all all scram-sha-256' >"$PGDATA/pg_hba.conf"
	give_to_postgres "$PGDATA/postgresql.conf" "$PGDATA/pg_hba.conf"
}

create_cluster() {
	mkdir -p "$PGDATA"
	chmod 700 "$PGDATA"
	give_to_postgres "$PGDATA"
	(umask 077 && echo "$OWNER_PASSWORD" >"$PGHOST/password")
	give_to_postgres "$PGHOST/password"
	as_postgres "$bin/initdb" --pgdata="$PGDATA" --username=arnova \
		--pwfile="$PGHOST/password" --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 \
		--data-checksums --no-instructions >"$VAR/log/initdb.log" 2>&1 ||
		fail_with_log "could not make the database cluster" "$VAR/log/initdb.log"
	rm -f "$PGHOST/password"
}

start_postgres() {
	bin=$(postgres_programs)
	mkdir -p "$PGHOST"
	chmod 700 "$PGHOST"
	give_to_postgres "$PGHOST"
	[ -s "$PGDATA/PG_VERSION" ] || create_cluster
	write_postgres_settings
	# The lock of this script must not live on in the server.
	as_postgres "$bin/pg_ctl" --pgdata="$PGDATA" --wait --timeout=60 start \
		</dev/null >>"$VAR/log/postgres.log" 2>&1 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- ||
		fail_with_log "could not start PostgreSQL" "$VAR/log/postgres.log"
	create_roles
}

stop_postgres() {
	postgres_alive || return 0
	bin=$(postgres_programs)
	as_postgres "$bin/pg_ctl" --pgdata="$PGDATA" --wait --mode=fast stop \
		>>"$VAR/log/postgres.log" 2>&1 || fail_with_log "could not stop PostgreSQL" "$VAR/log/postgres.log"
}

# postmaster.pid may be left over and its number be somebody else's by now.
postgres_alive() {
	pid=$(head -n 1 "$PGDATA/postmaster.pid" 2>/dev/null) || return 1
	[ -n "$pid" ] && [ "$(readlink "/proc/$pid/cwd")" = "$(readlink -f "$PGDATA")" ]
}

# Each service as many connections as it has workers, and some for a relay and an operator.
connections_of() {
	workers=$(value_of "$(upper "$1")_WORKERS")
	echo $((workers + $(value_of "$(upper "$1")_INTERNAL_WORKERS") + 8))
}

max_connections() {
	sum=20
	for service in $SERVICES; do sum=$((sum + $(connections_of "$service"))); done
	echo "$sum"
}

# Roles that own nothing and may create nothing; `arnova migrate` grants what they need.
roles_sql() {
	for service in $SERVICES; do
		password=$(value_of "$(upper "$service")_DATABASE_PASSWORD")
		cat <<-END
			SELECT 'CREATE ROLE $service LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE '
				'NOBYPASSRLS NOREPLICATION'
			WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '$service') \gexec
			ALTER ROLE $service PASSWORD '$password' CONNECTION LIMIT $(connections_of "$service");
		END
	done
	cat <<-END
		SELECT 'CREATE DATABASE arnova'
		WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'arnova') \gexec
		REVOKE ALL ON DATABASE arnova, postgres, template1 FROM PUBLIC;
		GRANT CONNECT ON DATABASE arnova TO $(echo "$SERVICES" | sed 's/ /, /g');
	END
}

create_roles() {
	roles_sql | PGPASSWORD=$OWNER_PASSWORD psql -X -q -v ON_ERROR_STOP=1 -h "$PGHOST" -U arnova \
		-d postgres -f - >>"$VAR/log/postgres.log" 2>&1 ||
		fail_with_log "could not create the database roles" "$VAR/log/postgres.log"
}
