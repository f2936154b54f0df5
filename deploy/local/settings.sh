# shellcheck shell=sh disable=SC2034
# settings.sh: every setting of an instance, kept in VAR/env.
#
# What follows from PORT and VAR is written anew at each start. Anything else is what the
# caller's environment says, else what the last start wrote, else the default.

upper() {
	echo "$1" | tr '[:lower:]' '[:upper:]'
}

# The value of the variable with this name, empty where it is not set.
value_of() {
	eval "printf '%s' \"\${$1-}\""
}

random_hex() {
	openssl rand -hex 32
}

# fixed NAME VALUE: a setting that this start decides.
fixed() {
	quoted=$(printf '%s' "$2" | sed "s/'/'\\\\''/g")
	echo "export $1='$quoted'" >>"$VAR/env.new"
	eval "$1='$quoted'"
	export "${1?}"
}

# The value of NAME in the last start's VAR/env.
former() {
	# shellcheck source=/dev/null
	[ ! -r "$VAR/env" ] || (unset "$1" && . "$VAR/env" && value_of "$1")
}

# setting NAME DEFAULT: the caller's choice, the former value, the default.
setting() {
	chosen=$(value_of "$1")
	[ -n "$chosen" ] || chosen=$(former "$1")
	fixed "$1" "${chosen:-$2}"
}

# secret NAME VALUE: the former value, else this one; never the caller's, which may stem from
# the VAR/env of another instance.
secret() {
	kept=$(former "$1")
	fixed "$1" "${kept:-$2}"
}

make_keys() {
	mkdir -p "$VAR/keys"
	chmod 700 "$VAR/keys"
	[ -s "$VAR/keys/jwt-public.pem" ] && return
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 \
		-out "$VAR/keys/jwt-private.pem" 2>/dev/null
	chmod 600 "$VAR/keys/jwt-private.pem"
	openssl pkey -in "$VAR/keys/jwt-private.pem" -pubout -out "$VAR/keys/jwt-public.pem"
}

database_settings() {
	fixed PGDATA "$PGDATA"
	fixed PGHOST "$PGHOST"
	secret OWNER_PASSWORD "$(random_hex)"
	fixed MIGRATE_DATABASE_URL "postgresql://arnova:$OWNER_PASSWORD@/arnova?host=$PGHOST"
	for service in $SERVICES; do
		name=$(upper "$service")
		secret "${name}_DATABASE_PASSWORD" "$(random_hex)"
		password=$(value_of "${name}_DATABASE_PASSWORD")
		fixed "${name}_DATABASE_URL" "postgresql://$service:$password@/arnova?host=$PGHOST"
	done
}

worker_settings() {
	for service in $SERVICES; do
		case $service in
		payments) public=4 internal=4 ;;
		orders) public=4 internal=2 ;;
		*) public=2 internal=2 ;;
		esac
		setting "$(upper "$service")_WORKERS" $public
		setting "$(upper "$service")_INTERNAL_WORKERS" $internal
	done
}

service_settings() {
	listener=$PORT
	for service in $SERVICES; do
		listener=$((listener + 1))
		fixed "$(upper "$service")_SERVICE_URL" "http://127.0.0.1:$listener"
	done
	secret SERVICE_TOKEN "$(random_hex)"
	make_keys
	fixed JWT_PRIVATE_KEY "$VAR/keys/jwt-private.pem"
	fixed JWT_PUBLIC_KEY "$VAR/keys/jwt-public.pem"
	setting JWT_ISSUER arnova
	setting CURRENCY USD
	setting RESERVATION_SECONDS 900
	setting RATE_LIMIT on
	setting TRUSTED_PROXIES ""
	for name in JWT_AUDIENCE JWT_SECRET JWT_ALGORITHM STATE_FOLDER; do
		[ -z "$(value_of $name)$(former $name)" ] || setting $name ""
	done
}

# Without a key of the caller's own, the project's stand-in plays Stripe.
stripe_settings() {
	if [ -n "${STRIPE_STANDIN_URL-}" ]; then
		# The environment is that of an instance with a stand-in: its key is nobody's choice.
		unset STRIPE_SECRET_KEY STRIPE_API_BASE STRIPE_WEBHOOK_SECRET
	fi
	if [ -n "$(former STRIPE_STANDIN_URL)" ]; then
		real_key=${STRIPE_SECRET_KEY-} real_base=${STRIPE_API_BASE-}
	else
		real_key=${STRIPE_SECRET_KEY:-$(former STRIPE_SECRET_KEY)}
		real_base=${STRIPE_API_BASE:-$(former STRIPE_API_BASE)}
	fi
	if [ -n "$real_key" ]; then
		fixed STRIPE_STANDIN_URL ""
		fixed STRIPE_API_BASE "${real_base:-https://api.stripe.com}"
		fixed STRIPE_SECRET_KEY "$real_key"
	else
		fixed STRIPE_STANDIN_URL "http://127.0.0.1:$((PORT + 6))"
		fixed STRIPE_API_BASE "$STRIPE_STANDIN_URL"
		secret STRIPE_SECRET_KEY "sk_test_$(random_hex)"
	fi
	setting STRIPE_WEBHOOK_SECRET "whsec_$(random_hex)"
}

write_settings() {
	(umask 077 && : >"$VAR/env.new")
	fixed PORT "$PORT"
	fixed VAR "$VAR"
	fixed SERVER "$SERVER"
	fixed PUBLIC_URL "http://127.0.0.1:$PORT"
	fixed ARNOVA_BUILD "$BUILD"
	worker_settings
	database_settings
	service_settings
	stripe_settings
	mv "$VAR/env.new" "$VAR/env"
}
