#!/bin/sh
# demo.sh [EMAIL]: fills a running shop with a demo catalogue and says how to try it.
#
# The first time only, or a restart would set the stock back. Settings: the environment, or
# VAR/env. EMAIL is the address of the staff account, whose password is kept in VAR/staff.
set -eu

HERE=$(cd "$(dirname "$0")" && pwd)
EMAIL=${1:-staff@example.com}
VAR=${VAR:-$HERE/../../var}
# shellcheck source=/dev/null
[ -n "${PUBLIC_URL-}" ] || . "$VAR/env"

# One line: the address and the password.
make_staff() {
	(umask 077 && echo "$EMAIL $(openssl rand -hex 12)" >"$VAR/staff.new")
	cut -d ' ' -f 2 "$VAR/staff.new" |
		"$ARNOVA_BUILD/arnova" createsuperuser --email "$EMAIL" --password-stdin >/dev/null
	mv "$VAR/staff.new" "$VAR/staff"
}

fill() {
	printf 'filling the shop: '
	cp "$HERE"/demo/media/*.svg "$VAR/media/"
	chmod 644 "$VAR"/media/*.svg
	"$ARNOVA_BUILD/arnova" import products --currency USD "$HERE/demo/catalogue.csv"
	make_staff
}

id_of() {
	curl -sf "$PUBLIC_URL/api/v1/products/$1/" | sed 's/^{"id" *: *\([0-9]*\),.*/\1/'
}

# The lines need no tool but curl and sed, and run as they stand in any POSIX shell.
print_lines() {
	lantern=$(id_of paper-lantern)
	json="-H 'Content-Type: application/json'"
	bearer="-H \"Authorization: Bearer \$TOKEN\""
	echo
	echo "Register, order a paper lantern and pay for it: paste these three lines."
	echo
	cat <<-END
		TOKEN=\$(curl -s $PUBLIC_URL/api/v1/auth/register/ $json -d '{"email":"ada-'\$(date +%s)'@example.com","password":"a lantern in the garden"}' | sed 's/.*"access" *: *"\([^"]*\)".*/\1/'); echo "token \$TOKEN"
		ORDER=\$(curl -s $PUBLIC_URL/api/v1/orders/ $bearer $json -H "Idempotency-Key: demo-order-\$(date +%s)" -d '{"items":[{"product_id":$lantern,"quantity":2}],"shipping_address":{"name":"Ada Miller","line1":"1 Mill Lane","city":"Springfield","postal_code":"12345","country":"US"}}' | sed 's/^{"id" *: *\([0-9]*\),.*/\1/'); echo "order \$ORDER"
		curl -s $PUBLIC_URL/api/v1/payments/process/ $bearer $json -H "Idempotency-Key: payment-of-order-\$ORDER" -d '{"order_id":'\$ORDER',"payment_method":"pm_card_visa"}'; echo
	END
	echo
}

[ -e "$VAR/staff" ] || fill
echo "The shop:      $PUBLIC_URL/api/v1/products/"
sed "s/^\([^ ]*\) \(.*\)/Staff account: \1, password \2/" "$VAR/staff"
print_lines
