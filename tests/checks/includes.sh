#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The rooms of src/ (doc/architecture.md): each file includes only what is in its room or in one
# below it, and src/mount alone knows FUSE. callgraph.py holds the same against the objects.
# shellcheck source=tools/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../tools/lib.sh"

cd "$top"
mapfile -d '' files < <(find src include tests tools -name '*.[ch]' -print0 | sort -z)
((${#files[@]})) || die "no C file found under $top: nothing to check"

awk '
	BEGIN {
		n = split("lib/kernel lib/os lib/state lib/pin lib/process lib/memory lib/resource lib/probe lib/stack lib/record lib/history lib/survey lib/report", rooms, " ")
		for (i = 1; i <= n; i++) floor[rooms[i]] = i
		floor["tree"] = floor["tree/sysv"] = floor["tree/posix"] = floor["tree/resource"] = floor["tree/history"] = 14
		floor["segls"] = 13.5 # beside the tree, which it does not know
		floor["segtop"] = 13.75 # likewise
		floor["symbols"] = 13.875 # likewise
		floor["mount"] = 15
	}
	function wrong(why) {
		printf "%s:%d: %s: %s\n", FILENAME, FNR, $0, why
		failed = 1
	}
	function room_of(path) {
		sub(/^src\//, "", path)
		return sub(/\/[^\/]*$/, "", path) ? path : ""
	}
	FNR == 1 {
		room = room_of(FILENAME)
		if (FILENAME ~ /^src\// && !(room in floor)) {
			printf "%s: in no room of src/ that is known here\n", FILENAME
			failed = 1
		}
	}
	/^[ \t]*#[ \t]*(include|include_next|import)[^a-z_]/ {
		name = $0
		sub(/^[ \t]*#[ \t]*[a-z_]+[ \t]*/, "", name)
		quote = substr(name, 1, 1)
		if (quote != "\"" && quote != "<") {
			wrong("names its header by a macro")
			next
		}
		sub(/^["<]/, "", name)
		sub(/[">].*/, "", name)

		if (name ~ /^(fuse[^\/]*\.h|fuse3?\/.*|linux\/fuse\.h|cuse[^\/]*\.h)$/ && FILENAME !~ /^(src\/mount|tests)\//)
			wrong("only src/mount may know FUSE")
		if (FILENAME !~ /^(src|include)\//) next # tests and tools may use every room
		if (name ~ /(^|\/)\.\.?\//)
			wrong("name it from src/, as in \"lib/os/x.h\"")
		else if (quote == "\"" && !(room_of(name) in floor))
			wrong(name ~ /^segfs\// ? "public headers are written <segfs/...>" : "name its room, as in \"lib/os/x.h\"")
		else if (quote == "\"" && FILENAME ~ /^include\//)
			wrong("a public header knows only public headers")
		else if (quote == "\"" && floor[room_of(name)] > floor[room])
			wrong("this room may not know that one")
	}
	END { exit failed }
' "${files[@]}" || die "includes against the rooms of src/ (above)"
