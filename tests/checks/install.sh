#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Does meson install put everything where a program finds it, and nothing of libfuse's?
# shellcheck source=tools/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../tools/lib.sh"

ensure "$start_needs"
get_libfuse
build check --buildtype=debugoptimized || exit 1
need_scratch
dest=$scratch/dest
DESTDIR=$dest quiet "meson install" \
	meson install -C "$top/build/check" --no-rebuild --skip-subprojects || exit 1

failed=no
wrong() {
	say "$*"
	failed=yes
}
one() { find "$dest" "$@" -print -quit; }

program=$(one -path '*/bin/segfs' -type f -perm -755)
[[ -n $program ]] || wrong "no bin/segfs"
for other in segls segtop; do
	[[ -n $(one -path "*/bin/$other" -type f -perm -755) ]] || wrong "no bin/$other"
done
library=$(one -name libsegfs.so)
[[ -n $library ]] || library=$(one -name libsegfs.a)
[[ -n $library ]] || wrong "no libsegfs.so and no libsegfs.a"
pc=$(one -path '*/pkgconfig/segfs.pc')
[[ -n $pc ]] || wrong "no pkgconfig/segfs.pc"
for header in "$top"/include/segfs/*.h; do
	[[ -n $(one -path "*/include/segfs/${header##*/}") ]] || wrong "no include/segfs/${header##*/}"
done
for installed in sbin/mount.segfs sbin/mount.fuse.segfs man8/segfs.8 man8/mount.segfs.8 man8/mount.fuse.segfs.8 man1/segls.1 man1/segtop.1 \
	bash-completion/completions/segfs bash-completion/completions/segls bash-completion/completions/segtop \
	zsh/site-functions/_segfs fish/vendor_completions.d/segfs.fish fish/vendor_completions.d/segls.fish fish/vendor_completions.d/segtop.fish; do
	[[ -e $(one -path "*/$installed") ]] || wrong "no $installed, or it leads nowhere"
done
unit=$(one -name segfs.service)
[[ -n $unit ]] || wrong "no segfs.service"
! grep -q '@[a-z]*@' "$unit" || wrong "$unit is not filled in"
strangers=$(find "$dest" -iname '*fuse*' ! -name 'mount.fuse.segfs*')
[[ -z $strangers ]] || wrong "libfuse's own files: ${strangers//$'\n'/ }"
[[ $failed == no ]] || die "meson install is not complete (above)"

# The file as if DESTDIR were the prefix's root; the paths of other packages stay theirs.
mkdir "$scratch/pc"
sed "s|^prefix=|prefix=$dest|" "$pc" >"$scratch/pc/segfs.pc"
export PKG_CONFIG_PATH=$scratch/pc
read -ra flags < <(pkg-config --cflags segfs)
read -ra libs < <(pkg-config --libs segfs)
cc=${CC:-cc}

# Each header alone, then a program that takes every function that the library exports.
for header in "$top"/include/segfs/*.h; do
	say "#include <segfs/${header##*/}>" >"$scratch/alone.c"
	"$cc" -Wall -Wextra -Werror -c -o "$scratch/alone.o" "$scratch/alone.c" "${flags[@]}" ||
		die "segfs/${header##*/} does not compile on its own with pkg-config's flags"
done
mapfile -t functions < <(nm -gP --defined-only ${library:+$([[ $library == *.so ]] && echo -D)} "$library" |
	awk '$2 == "T" && $1 ~ /^segfs_/ { print $1 }')
((${#functions[@]})) || die "libsegfs exports no function that starts with segfs_ (visibility?)"
{
	for header in "$top"/include/segfs/*.h; do say "#include <segfs/${header##*/}>"; done
	say "int main(void) { void (*all[])(void) = {"
	printf '(void (*)(void))%s,\n' "${functions[@]}"
	say "}; return all[0] == 0; }"
} >"$scratch/tiny.c"
"$cc" -o "$scratch/tiny" "$scratch/tiny.c" "${flags[@]}" "${libs[@]}" ||
	die "a program does not build with what pkg-config says: is each exported function in a header?"
export LD_LIBRARY_PATH=${library%/*}
"$scratch/tiny" || die "a program linked with the installed libsegfs does not run"
"$program" --version >/dev/null || die "the installed segfs does not run"
