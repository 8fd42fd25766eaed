# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Sourced after lib-holders.sh by tests of what is idle since somebody of the family lives; $orphans is
# the directory that is asked.

orphans_are() { [ "$(ls "$orphans" | sort | xargs)" = "$(printf '%s\n' "$@" | sort | xargs)" ]; }
evidence() { info "$1" Evidence; }
# Long enough that what was used last before now is no longer young.
aged() {
	local made
	made=$(kernel_second)
	past $((made + 1))
}
# idle NAME FILE EVIDENCE
idle() {
	row "$1" "$2" idle
	like "$(evidence "$2")" "$3" "$1: why"
}
killed() {
	local name
	for name in "$@"; do kill -KILL "$(held "$name")"; done
	drop "$@"
}
