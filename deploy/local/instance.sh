#!/bin/sh
# instance.sh start|stop|status|run: one whole shop on this machine, all its files in VAR.
#
# PORT, VAR, SERVER and BUILD come from the Makefile. What is set in VAR/env: settings.sh.
set -eu

ROOT=$(cd "$(dirname "$0")/../.." && pwd)
SERVICES="products orders users cart payments"
PORT=${PORT:-8000} SERVER=${SERVER:-nginx} VAR=${VAR:-var} BUILD=${BUILD:-build}
case $VAR in /*) ;; *) VAR=$ROOT/$VAR ;; esac
case $BUILD in /*) ;; *) BUILD=$ROOT/$BUILD ;; esac
RUN=$VAR/run
PATH=$PATH:/usr/sbin:/sbin

fail() {
	echo "arnova: $*" >&2
	exit 1
}

# fail_with_log MESSAGE LOG: shows the end of the log, which says why.
fail_with_log() {
	echo
	tail -n 5 "$2" | sed 's/^/  /' >&2
	fail "$1, see $2"
}

# shellcheck source-path=SCRIPTDIR
. "$ROOT/deploy/local/process.sh"
# shellcheck source-path=SCRIPTDIR
. "$ROOT/deploy/local/settings.sh"
# shellcheck source-path=SCRIPTDIR
. "$ROOT/deploy/local/postgres.sh"

# ---- Folders.

check_arguments() {
	case $PORT in *[!0-9]* | ??????*) fail "PORT is not a number: $PORT" ;; esac
	if [ "$PORT" -lt 1 ] || [ "$PORT" -gt 65529 ]; then
		fail "PORT must leave room for six more: $PORT"
	fi
	case $SERVER in nginx | lighttpd) ;; *) fail "SERVER is nginx or lighttpd, not $SERVER" ;; esac
	case $VAR in
	*[!A-Za-z0-9._/@+-]*) fail "VAR may hold letters, digits and . _ / @ + - only: $VAR" ;;
	esac
}

# Where files go that cannot be under VAR. Nobody else may have made it.
outside_folder() {
	outside=/var/tmp/arnova-$(printf '%s' "$VAR" | sha256sum | cut -c 1-16)
	mkdir -m 755 "$outside" 2>/dev/null ||
		{ [ ! -L "$outside" ] && [ "$(stat -c %u "$outside")" = "$(id -u)" ]; } ||
		fail "$outside belongs to somebody else"
	echo "$outside"
}

make_folders() {
	mkdir -p "$VAR/log" "$VAR/media"
	chmod 755 "$VAR"
	# The path of a Unix socket has at most 107 bytes.
	if [ ${#VAR} -gt 70 ] && [ ! -e "$VAR/run" ]; then
		mkdir -p "$(outside_folder)/run"
		ln -sfn "$(outside_folder)/run" "$VAR/run"
		echo "sockets live in $(outside_folder)/run: the path of $VAR is too long for them"
	fi
	mkdir -p "$VAR/run"
	find_run
	chmod 755 "$RUN"
}

find_run() {
	[ ! -L "$VAR/run" ] || RUN=$(readlink "$VAR/run")
}

# Keeps a log of former starts from growing without end.
rotate_logs() {
	find "$VAR/log" -name '*.log' -size +1000k -exec mv {} {}.1 \;
}

# One start or stop at a time for each VAR.
lock() {
	exec 9>"$VAR/lock"
	flock -n 9 || fail "another start or stop of $VAR is under way"
}

unlock() {
	exec 9>&-
}

# ---- Processes, in the order of their start.

pools() {
	for service in $SERVICES; do echo "$service-internal"; done
	echo "$SERVICES" | tr ' ' '\n'
}

processes() {
	[ -z "$STRIPE_STANDIN_URL" ] || echo standin
	pools
	echo "$SERVER"
	echo relay
}

check_ports() {
	offset=0
	while [ $offset -le 6 ]; do
		if port_taken $((PORT + offset)); then
			fail "port $((PORT + offset)) is in use (needed: $PORT to $((PORT + 6))); choose another PORT"
		fi
		offset=$((offset + 1))
	done
}

# A program is given its own secrets, nobody else's.
hide_secrets_from() {
	for other in $SERVICES; do
		unset "$(upper "$other")_DATABASE_PASSWORD"
		[ "$other" = "$1" ] || [ "$1" = relay ] || unset "$(upper "$other")_DATABASE_URL"
	done
	unset OWNER_PASSWORD MIGRATE_DATABASE_URL
	[ "$1" = users ] || unset JWT_PRIVATE_KEY
	case " $SERVICES " in *" $1 "*) ;; *) unset JWT_SECRET ;; esac
	[ "$1" = payments ] || unset STRIPE_SECRET_KEY STRIPE_WEBHOOK_SECRET
}

start_pool() {
	service=${1%-internal}
	workers=$(value_of "$(upper "$1" | tr - _)_WORKERS")
	(
		hide_secrets_from "$service"
		spawn "$1" "$VAR/log/$service.log" spawn-fcgi -n -s "$RUN/$1.sock" -M 0600 -- \
			/usr/bin/multiwatch -r 1000000000 -f "$workers" -- "$BUILD/$service.fcgi"
	)
}

start_standin() {
	[ -n "$STRIPE_STANDIN_URL" ] || return 0
	(
		hide_secrets_from payments
		spawn standin "$VAR/log/standin.log" "$BUILD/stripe-standin" --port $((PORT + 6)) \
			--secret-key "$STRIPE_SECRET_KEY" --webhook-secret "${STRIPE_WEBHOOK_SECRET%%,*}" \
			--webhook-url "http://127.0.0.1:$PORT/api/v1/payments/webhook/"
	)
	tries=0
	until port_taken $((PORT + 6)); do
		tries=$((tries + 1))
		if [ $tries -eq 200 ] || ! alive standin; then
			fail_with_log "the stand-in for Stripe does not answer" "$VAR/log/standin.log"
		fi
		sleep 0.05
	done
}

# The configuration at the top of the repository, for this PORT and VAR.
render() {
	sed -e "s#\([ \":(]\)var/run/#\1$RUN/#g" -e "s#\([ \":(]\)var/#\1$VAR/#g" \
		-e "s#root var;#root $VAR;#" -e "s#root = \"var\"#root = \"$VAR\"#" \
		-e "s#\"deploy/#\"$ROOT/deploy/#" "$ROOT/$SERVER.conf" |
		awk -v port="$PORT" '{
			out = ""
			while (match($0, /800[0-6]/)) {
				out = out substr($0, 1, RSTART - 1) (port + substr($0, RSTART + 3, 1))
				$0 = substr($0, RSTART + RLENGTH)
			}
			print out $0
		}' >"$VAR/$SERVER.conf"
}

start_web_server() {
	render
	log=$VAR/log/$SERVER-error.log
	if [ "$SERVER" = lighttpd ]; then
		set -- lighttpd -D -f "$VAR/lighttpd.conf"
	else
		set -- nginx -p "$VAR/" -c "$VAR/nginx.conf" -e "$log" -g "$(nginx_user) daemon off;"
	fi
	(
		hide_secrets_from nobody
		spawn "$SERVER" "$log" "$@"
	)
}

# The local instance runs as whoever starts it, also as root; production has a user of its own.
nginx_user() {
	[ "$(id -u)" != 0 ] || echo 'user root;'
}

start_relay() {
	(
		hide_secrets_from relay
		spawn_relay "$BUILD/arnova"
	)
}

# ---- Readiness.

not_ready() {
	for service in $SERVICES; do
		url=$(value_of "$(upper "$service")_SERVICE_URL")/health/ready
		code=$(curl -s -o /dev/null -m 2 -w '%{http_code}' "$url") || true
		[ "$code" = 200 ] || echo "$service"
	done
}

dead() {
	for name in $(processes); do alive "$name" || echo "$name"; done
}

# A program that ends at once is started again and again, and fills its log.
failing() {
	dead
	find "$VAR/log" -name '*.log' -size +2000k -exec basename {} .log \;
}

log_of() {
	case $1 in
	nginx | lighttpd) echo "$VAR/log/$1-error.log" ;;
	*) echo "$VAR/log/${1%-internal}.log" ;;
	esac
}

# Names what is wrong and shows the end of each log that may say why.
explain() {
	echo
	for name in $(printf '%s\n' "$@" | sed 's/-internal//' | sort -u); do
		echo "arnova: $name is not ready; the end of $(log_of "$name"):"
		tail -n 5 "$(log_of "$name")" | sed 's/^/  /'
	done >&2
}

wait_until_ready() {
	begun=$(date +%s) tries=0
	while waiting=$(not_ready) && [ -n "$waiting" ]; do
		gone=$(failing)
		waited=$(($(date +%s) - begun))
		if [ $waited -ge 60 ] || { [ -n "$gone" ] && [ $waited -ge 4 ]; }; then
			# shellcheck disable=SC2086 # one word for each name
			explain $waiting $gone
			fail "the shop did not get ready; stopped again"
		fi
		tries=$((tries + 1))
		[ $((tries % 5)) -ne 1 ] || printf '.'
		sleep 0.1
	done
}

# ---- Verbs.

load_settings() {
	[ -r "$VAR/env" ] || return 1
	kept_build=$BUILD
	# shellcheck source=/dev/null
	. "$VAR/env"
	BUILD=${ARNOVA_BUILD:-$kept_build}
	find_run
}

everything_runs() {
	postgres_alive && [ -z "$(dead)" ]
}

anything_runs() {
	postgres_alive && return
	for name in $(processes); do alive "$name" && return; done
	return 1
}

already_running() {
	(load_settings && everything_runs) || return 1
	echo "already running on $(former PUBLIC_URL)"
}

start() {
	check_arguments
	for program in $SERVICES; do
		[ -x "$BUILD/$program.fcgi" ] || fail "$BUILD/$program.fcgi is missing: run make build"
	done
	make_folders
	lock
	if already_running; then
		unlock
		return
	fi
	if (load_settings && anything_runs); then
		echo "parts of an earlier start still run: ending them first"
		(load_settings && end_everything)
	fi
	check_ports
	rotate_logs
	trap 'abandon' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	choose_postgres_folders
	write_settings
	printf 'starting on %s with %s ' "$PUBLIC_URL" "$SERVER"
	start_postgres
	printf '.'
	"$BUILD/arnova" migrate >>"$VAR/log/migrate.log" 2>&1 ||
		fail_with_log "could not migrate" "$VAR/log/migrate.log"
	printf '.'
	start_standin
	for pool in $(pools); do start_pool "$pool"; done
	start_web_server
	start_relay
	wait_until_ready
	trap - EXIT INT TERM
	echo " ready"
	unlock
}

# A start that failed leaves nothing behind that runs.
abandon() {
	code=$?
	trap - EXIT
	load_settings && end_everything
	exit "$code"
}

# Who calls ends before who is called, so that a request under way still gets its answers;
# each program ends when its last request is done.
end_everything() {
	end_all TERM 30 relay
	# shellcheck disable=SC2046,SC2086 # one word for each name
	end_all TERM 40 $SERVICES
	# shellcheck disable=SC2046 # one word for each name
	end_all TERM 40 $(pools | grep -e -internal)
	end_all QUIT 10 nginx
	end_all INT 10 lighttpd
	end_all TERM 10 standin
	stop_postgres
}

stop() {
	load_settings || { echo "no instance in $VAR" && return; }
	lock
	if anything_runs; then
		end_everything
		echo "stopped"
	else
		end_everything
		echo "not running"
	fi
	unlock
}

status() {
	load_settings || { echo "no instance in $VAR" && return 1; }
	code=0
	for name in postgres $(processes); do
		if [ "$name" = postgres ]; then
			pid=$(head -n 1 "$PGDATA/postmaster.pid" 2>/dev/null) || pid=
			postgres_alive && state=running || state=stopped
		else
			pid=$(pid_of "$name") || pid=
			alive "$name" && state=running || state=stopped
		fi
		[ "$state" = running ] || { code=1 && pid=; }
		printf '%-18s %-8s %s\n' "$name" "$state" "$pid"
	done
	return $code
}

# Serves until Ctrl-C, TERM or a `make stop` elsewhere.
run() {
	start
	load_settings
	trap 'echo && stop && exit 0' INT TERM
	sh "$ROOT/deploy/local/demo.sh" || echo "arnova: could not fill the shop with the demo" >&2
	echo "Ctrl-C ends everything"
	while alive "$SERVER"; do
		# In the background, or a signal would wait until it ends.
		sleep 1 &
		wait $!
	done
	echo "the instance was stopped"
}

case ${1-} in
start | stop | status | run) "$1" ;;
*) fail "usage: instance.sh start|stop|status|run" ;;
esac
