#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Is every C file as .clang-format says? With version 14 only: others format differently.
# shellcheck source=tools/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../tools/lib.sh"

ensure "clang-format-14|cmd clang-format-14|clang-format 14, which the formatting is checked with"
cd "$top"
mapfile -d '' files < <(find src include tests tools -name '*.[ch]' -print0 | sort -z)
((${#files[@]})) || die "no C file found under $top: nothing to check"
bad=()
for file in "${files[@]}"; do
	clang-format-14 --dry-run -Werror "$file" 2>/dev/null || bad+=("$file")
done
((${#bad[@]} == 0)) || die "not formatted as .clang-format says: run: clang-format-14 -i ${bad[*]}"
