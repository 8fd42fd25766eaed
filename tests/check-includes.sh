#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The floors: src/mount stands on src/tree, that on src/segment, that on include/segfs; each
# includes only what is below it, and src/mount alone knows FUSE.
# shellcheck source=tools/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../tools/lib.sh"

cd "$top"
mapfile -d '' files < <(find src include tests tools -name '*.[ch]' -print0 | sort -z)
((${#files[@]})) || die "no C file found under $top: nothing to check"

awk '
	function wrong(why) {
		printf "%s:%d: %s: %s\n", FILENAME, FNR, $0, why
		failed = 1
	}
	# The folders of src/ that a file may take headers from.
	function may(file) {
		if (file ~ /^include\/segfs\//) return ""
		if (file ~ /^src\/segment\//) return "segment"
		if (file ~ /^src\/tree\//) return "segment tree"
		if (file ~ /^src\/mount\//) return "segment tree mount"
		return "?"
	}
	FNR == 1 && FILENAME ~ /^(src|include)\// && may(FILENAME) == "?" {
		printf "%s: in no floor: src/mount, src/tree, src/segment or include/segfs\n", FILENAME
		failed = 1
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
		folder = name
		if (!sub(/\/.*/, "", folder)) folder = ""

		if (name ~ /^(fuse[^\/]*\.h|fuse3?\/.*|linux\/fuse\.h|cuse[^\/]*\.h)$/ && FILENAME !~ /^(src|tests)\/mount\//)
			wrong("only src/mount may know FUSE")
		allowed = may(FILENAME)
		if (allowed == "?") next # tests and tools may use every floor
		if (name ~ /(^|\/)\.\.?\//)
			wrong("name it from src/, as in \"segment/x.h\"")
		else if (folder ~ /^(segment|tree|mount)$/ && index(" " allowed " ", " " folder " ") == 0)
			wrong("this floor may not know that one")
		else if (quote == "\"" && folder !~ /^(segment|tree|mount)$/)
			wrong(folder == "segfs" ? "public headers are written <segfs/...>" : "name its folder, as in \"segment/x.h\"")
	}
	END { exit failed }
' "${files[@]}" || die "includes against the floors of src/ (above)"
