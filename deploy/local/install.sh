#!/bin/sh
# install.sh GROUP...: installs the Debian packages of these groups that are missing.
set -eu

here=$(cd "$(dirname "$0")" && pwd)

# A package that names a command, as nodejs=node, is left out where that command exists.
wanted() {
	for group; do
		awk -v group="$group" '!/^#/ && $2 == group { print $1 }' "$here/packages"
	done | while read -r wish; do
		case $wish in *=*) ! command -v "${wish#*=}" >/dev/null || continue ;; esac
		echo "${wish%%=*}"
	done
}

missing() {
	# shellcheck disable=SC2016 # the fields are dpkg's
	wanted "$@" | xargs dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' 2>/dev/null |
		awk '/^.i / { print $2 }' | sort >"$list"
	wanted "$@" | sort | comm -23 - "$list"
}

# A server that comes with a package must not start by itself and take a port.
forbid_starts() {
	[ ! -e /usr/sbin/policy-rc.d ] || return 0
	printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
	chmod 755 /usr/sbin/policy-rc.d
	policy=/usr/sbin/policy-rc.d
}

fail() {
	echo "install: $*" >&2
	exit 1
}

list=$(mktemp) && log=$(mktemp)
policy=
trap 'rm -f "$list" "$log" ${policy:+"$policy"}' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

command -v dpkg-query >/dev/null || {
	# Elsewhere the compiler and the start script name what they lack.
	exit 0
}
packages=$(missing "$@" | tr '\n' ' ')
[ -n "$packages" ] || exit 0

if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null ||
		fail "missing packages, and neither root nor sudo to install them; as root run:
  apt-get install --no-install-recommends $packages"
	echo "install: asking sudo for missing packages: $packages"
	sudo sh "$0" "$@"
	exit
fi

echo "install: missing packages: $packages"
forbid_starts
export DEBIAN_FRONTEND=noninteractive
# No pipe into awk alone: its exit status would hide that of apt-get.
{
	apt-get -q update
	# shellcheck disable=SC2086 # one word for each package
	apt-get -q install -y --no-install-recommends $packages || echo "install: failed"
} 2>&1 | tee "$log" | awk '/^Get:|^Setting up|^E:|^W:/ { print "  " $0; fflush() }'

packages=$(missing "$@" | tr '\n' ' ')
if [ -n "$packages" ]; then
	tail -n 15 "$log" >&2
	fail "could not install: $packages"
fi
echo "install: done"
