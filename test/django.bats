#!/usr/bin/env bats
# django.bats: a Django site's accounts are ours and ours are its, as Django itself says.
# shellcheck disable=SC2016

AUTH=/api/v1/auth

load helper

# Python code, with Django's hashers at hand and sys.argv as given. Debian's own Python: another
# may come first in the path, and would know no Django.
django() {
	/usr/bin/python3 -I - "$@" <<-EOF
		import sys
		from django.conf import settings
		settings.configure(INSTALLED_APPS=['django.contrib.contenttypes', 'django.contrib.auth'],
		    PASSWORD_HASHERS=['django.contrib.auth.hashers.Argon2PasswordHasher',
		                      'django.contrib.auth.hashers.PBKDF2PasswordHasher'])
		import django
		django.setup()
		from django.contrib.auth import hashers
		$(cat /dev/fd/9)
	EOF
} 9<&0

# django_takes PASSWORD HASH [PASSWORD HASH...]: whether Django takes each for its hash, and no
# other one.
django_takes() {
	django "$@" <<<'
for password, encoded in zip(sys.argv[1::2], sys.argv[2::2]):
    assert hashers.check_password(password, encoded), "refused: " + encoded
    assert not hashers.check_password(password + "x", encoded), "takes anything: " + encoded'
}

# has_account HASH: makes one as another program would; sets email.
has_account() {
	email=$(random 8)@example.com
	psql_as users "INSERT INTO users.auth_user (email, username, password) VALUES ('$email', '$email', '$1')"
}

stored() {
	psql_as users "SELECT password FROM users.auth_user WHERE email = '$email'"
}

# sign_in PASSWORD
sign_in() {
	api POST $AUTH/login/ "$(jq -nc --arg email "$email" --arg password "$1" '$ARGS.named')"
}

@test "hashes of several versions of Django sign in, and become ones that Django takes" {
	local password='pässwörd 日本 😀 "\' kind hash replaced=() count=0
	while read -r kind hash; do
		has_account "$hash"
		sign_in "$password"
		expect_status 200
		if [[ $kind == strong ]]; then
			[[ $(stored) == "$hash" ]]
		else
			[[ $(stored) == 'argon2$argon2id$v=19$m=19456,t=2,p=1$'* ]]
			replaced+=("$password" "$(stored)")
		fi
		count=$((count + 1))
	done < <(django "$password" <<<'
import argon2
password = sys.argv[1]
print("weak", hashers.make_password(password, hasher="pbkdf2_sha256"))
# Of Django 1.11, 2.2 and 4.2.
for iterations in 36000, 150000, 600000:
    print("weak", hashers.PBKDF2PasswordHasher().encode(password, "NaCl" * 3, iterations))
print("strong", hashers.make_password(password, hasher="argon2"))
class Cheap(hashers.Argon2PasswordHasher):
    memory_cost, parallelism = 512, 2
print("weak", Cheap().encode(password, "c29tZXNhbHQ"))
# Of Django before 3.2.
class Old(Cheap):
    def params(self):
        params = super().params()
        params.type = argon2.low_level.Type.I
        return params
print("weak", Old().encode(password, "c29tZXNhbHQ"))')
	((count == 7))
	sign_in "$password"
	expect_status 200
	sign_in "${password}x"
	expect_problem 401 no_active_account
	django_takes "${replaced[@]}"
}

@test "Django takes the hashes that we write" {
	local first='correct horse battery' second='  pässwörd 日本 😀 ' third token hashes=()
	third=$(printf '😀%.0s' {1..256})
	email=$(random 8)@example.com
	api POST $AUTH/register/ "{\"email\":\"$email\",\"password\":\"$first\"}"
	expect_status 201
	token=$(json .access)
	hashes+=("$first" "$(stored)")
	TOKEN=$token api POST $AUTH/password/change/ "{\"old_password\":\"$first\",\"new_password\":\"$second\"}"
	expect_status 204
	hashes+=("$second" "$(stored)")
	TOKEN=$token api POST $AUTH/password/change/ "{\"old_password\":\"$second\",\"new_password\":\"$third\"}"
	expect_status 204
	hashes+=("$third" "$(stored)")
	email=$(random 8)@example.com
	"$ARNOVA_BUILD/arnova" createsuperuser --email "$email" --password-stdin <<<"$second"
	hashes+=("$second" "$(stored)")
	django_takes "${hashes[@]}"
}

@test "a password that Django calls unusable lets nobody in" {
	local hash password
	hash=$(django <<<'print(hashers.make_password(None))')
	[[ $hash == '!'* ]]
	has_account "$hash"
	for password in "$hash" '!' "${hash#!}" None; do
		sign_in "$password"
		expect_problem 401 no_active_account
	done
	[[ $(stored) == "$hash" ]]
}

@test "auth_user has the columns of Django's own table" {
	local ours theirs
	theirs=$(django <<<'
from django.contrib.auth.models import User
for field in sorted(User._meta.concrete_fields, key=lambda field: field.column):
    print(field.column, field.max_length or "", "YES" if field.null else "NO")')
	ours=$(psql_as users "SELECT concat_ws(' ', column_name, coalesce(character_maximum_length::text, ''), is_nullable)
		FROM information_schema.columns WHERE table_schema = 'users' AND table_name = 'auth_user'
		ORDER BY column_name COLLATE \"C\"")
	[[ $ours == "$theirs" ]] || complain "ours: $ours, Django's: $theirs"
}
