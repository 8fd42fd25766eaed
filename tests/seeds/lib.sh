#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the scripts beside this one share; each sources it first.
set -u
: "${MNT:?}" "${SEEDS:?}"
PATH=$SEEDS:$PATH
export LC_ALL=C

count=0
failed=0
tmp=$(mktemp -d "${TESTDIR:-/tmp}/seeds.XXXXXX")
trap 'rm -rf "$tmp"' EXIT

is() {
	count=$((count + 1))
	if [ "$1" = "$2" ]; then
		echo "ok $count - $3"
	else
		failed=1
		echo "not ok $count - $3"
		printf 'got:\n%s\nwanted:\n%s\n' "$1" "$2" | sed 's/^/# /'
	fi
}

# True where $1 can be mapped shared. Where passthrough is off, or not to be had, the answer is
# ENODEV and never a stale copy; SEEDS_MMAP=required leaves no such way out.
mappable() {
	local answer
	answer=$(map-probe "$1" 2>&1)
	if [ "$answer" = ENODEV ] && [ "${SEEDS_MMAP:-}" != required ]; then
		is "$answer" ENODEV "a shared mapping of $2 is refused with ENODEV"
		count=$((count + 1))
		echo "ok $count - $2 # SKIP no passthrough here"
		return 1
	fi
	is "$answer" ok "$2 can be mapped shared"
}

# A segment of $1 bytes; prints its id.
segment() {
	ipcmk -M "$1" -p 0600 | sed 's/.*: //'
}
