# shellcheck shell=sh
# process.sh: starts background programs and ends them again, by pid file.
#
# VAR/run/NAME.pid holds the pid, VAR/run/NAME.birth what tells the process from a later one
# with the same number. Each program leads a process group of its own.

birth_of() {
	[ -r "/proc/$1/stat" ] || return 1
	# Field 22, counted after the name, which may hold spaces and brackets.
	ticks=$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 1,20)
	case $ticks in
	Z* | '') return 1 ;;
	esac
	echo "${ticks#* } $(cat /proc/sys/kernel/random/boot_id)"
}

# spawn NAME LOG COMMAND...: the caller's lock and pipes stay with the caller.
spawn() {
	name=$1 log=$2
	shift 2
	# In the background of a script nothing leads a group yet, so setsid need not fork.
	setsid "$@" </dev/null >>"$log" 2>&1 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- &
	pid=$!
	echo "$pid" >"$RUN/$name.pid"
	birth_of "$pid" >"$RUN/$name.birth" || true
}

# Under a supervisor, as the services' workers are.
spawn_relay() { # ARNOVA
	spawn relay "$VAR/log/relay.log" /usr/bin/multiwatch -r 1000000000 -s TERM -f 1 -- "$1" relay
}

pid_of() {
	grep -m 1 '^[0-9]' "$RUN/$1.pid" 2>/dev/null
}

alive() {
	pid=$(pid_of "$1") || return 1
	[ "$(birth_of "$pid")" = "$(cat "$RUN/$1.birth" 2>/dev/null)" ]
}

# The workers of a pool whose leader was killed: the group lives on under its number.
orphans_of() {
	pid=$(pid_of "$1") || return 0
	! birth_of "$pid" >/dev/null || return 0
	for folder in /proc/[0-9]*; do
		group=$(sed 's/.*) //' "$folder/stat" 2>/dev/null | cut -d ' ' -f 3)
		[ "$group" = "$pid" ] || continue
		case $(tr '\0' ' ' <"$folder/cmdline" 2>/dev/null) in
		"$BUILD/"*) echo "${folder#/proc/}" ;;
		esac
	done
}

# end_all SIGNAL SECONDS NAME...: signals them all, waits, kills what is still there then.
end_all() {
	signal=$1 patience=$2
	shift 2
	for name; do
		if alive "$name"; then
			kill -s "$signal" "$(pid_of "$name")" 2>/dev/null || true
		else
			for pid in $(orphans_of "$name"); do kill -s TERM "$pid" 2>/dev/null || true; done
		fi
	done
	deadline=$(($(date +%s) + patience))
	for name; do
		while alive "$name" && [ "$(date +%s)" -lt "$deadline" ]; do sleep 0.05; done
		if alive "$name"; then
			echo "$name did not end within $patience s: killed" >&2
			kill -s KILL -- "-$(pid_of "$name")" 2>/dev/null || true
		fi
		rm -f "$RUN/$name.pid" "$RUN/$name.birth"
	done
}

# Listening TCP ports, as the kernel writes them.
port_taken() {
	hex=$(printf '%04X' "$1")
	cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v port=":$hex\$" '
		$4 == "0A" && $2 ~ port &&
			$2 ~ /^(0+|0100007F|0000000000000000FFFF00000100007F):/ { found = 1 }
		END { exit !found }'
}
