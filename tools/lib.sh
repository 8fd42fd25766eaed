# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Sourced by tools/start, tools/check, .ci/run and tests/checks/*.sh: packages, libfuse, builds.

set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
me=${0#"$top"/}

# The libfuse that meson.build asks for, and the Debian release whose source package has the
# very file that subprojects/fuse3.wrap names.
fuse_min=3.17
fuse_suite=trixie

say() { printf '%s\n' "$*"; }
die() {
	printf '%s: %s\n' "$me" "$*" >&2
	exit 1
}

scratch=
on_exit() { :; } # scripts that have more to do at the end define their own
at_exit() {
	local status=$?
	[[ -z $scratch ]] || rm -rf "$scratch"
	on_exit "$status"
}
trap at_exit EXIT

# One directory for everything temporary, removed at exit.
need_scratch() { [[ -n $scratch ]] || scratch=$(mktemp -d "${TMPDIR:-/tmp}/segfs.XXXXXX"); }

# quiet WHAT COMMAND...: not a word unless it fails, then the log's end.
quiet() {
	local what=$1
	shift
	need_scratch
	if ! "$@" >"$scratch/log" 2>&1 </dev/null; then
		tail -n 60 "$scratch/log" >&2
		printf '%s: %s failed, its last output is above\n' "$me" "$what" >&2
		return 1
	fi
}

as_root() {
	if ((EUID == 0)); then
		"$@"
	else
		sudo "$@"
	fi
}

# The needs: Debian's package | how to see it where there is no dpkg, with the least version | what it is
build_needs="gcc|cmd cc|a C compiler
libc6-dev|cmd cc|the C library's headers
meson|cmd meson >= 1.0|Meson, the build system
ninja-build|cmd ninja|Ninja, which Meson drives
pkg-config|cmd pkg-config|pkg-config, to find libraries
libglib2.0-dev|pc glib-2.0 >= 2.74|GLib with its headers
zlib1g-dev|pc zlib|zlib with its headers
libjson-glib-dev|pc json-glib-1.0|JSON-GLib with its headers
libseccomp-dev|pc libseccomp|libseccomp with its headers
libsmartcols-dev|pc smartcols >= 2.38|libsmartcols of util-linux with its headers
libncurses-dev|pc ncursesw|ncurses with its headers"
# What history's programs are built with; without it all else works.
history_needs="clang|cmd clang|clang, which compiles programs for the kernel
bpftool|cmd /usr/sbin/bpftool|bpftool, which packs them
libbpf-dev|pc libbpf|libbpf with its headers
libdw-dev|pc libdw|libdw of elfutils, which knows functions by their addresses"
# shellcheck disable=SC2034 # the scripts' own
start_needs="$build_needs
fuse3|cmd fusermount3|fusermount3, to mount and unmount"
# shellcheck disable=SC2034
check_needs="$start_needs
coreutils|cmd stat|coreutils
findutils|cmd find|find
tar|cmd tar|tar
util-linux|cmd unshare|unshare, setpriv, ipcmk and ipcs
procps|cmd ps|ps
diffutils|cmd cmp|cmp and diff
attr|cmd getfattr|getfattr and setfattr
acl|cmd getfacl|getfacl
rsync|cmd rsync|rsync
jq|cmd jq|jq
less|cmd less|less
bsdutils|cmd script|script, which gives less a terminal
tmux|cmd tmux|tmux, a terminal for segtop
python3|cmd python3|Python, to count
python3-yaml|cmd python3|Python's YAML"

is_debian() {
	[[ -r /etc/os-release ]] && command -v apt-get dpkg-query >/dev/null || return 1
	local ids
	# shellcheck disable=SC1091
	ids=$(. /etc/os-release && printf ' %s ' "${ID-}" "${ID_LIKE-}")
	[[ $ids == *" debian "* || $ids == *" ubuntu "* ]]
}

# is_there PACKAGE PROBE
is_there() {
	local package=$1 kind=${2%% *} what=${2#* }
	# Any C compiler will do where one is there already.
	if is_debian && ! [[ $package == gcc && $what == cc ]]; then
		dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -x installed >/dev/null
	else
		answers "$kind" "$what"
	fi
}

# answers pc|cmd WHAT: whatever package it is from.
answers() {
	if [[ $1 == pc ]]; then
		command -v pkg-config >/dev/null && pkg-config --exists "$2"
	else
		command -v "${2%% *}" >/dev/null
	fi
}

apt_candidate() {
	LC_ALL=C apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: //p' | grep -vx '(none)' || true
}

# The lock timeout waits for an apt of somebody else instead of failing at once.
apt_get() {
	as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 LC_ALL=C \
		apt-get -y -q -o DPkg::Lock::Timeout=120 "$@"
}

# can_build: what is too old here, or not to be had, is said before anything is installed.
can_build() {
	is_debian || return 0
	local package probe what candidate old=()
	if [[ -z $(apt_candidate libglib2.0-dev) ]] && { ((EUID == 0)) || command -v sudo >/dev/null; }; then
		quiet "apt-get update" apt_get update || exit 1
	fi
	while IFS='|' read -r package probe what; do
		[[ $probe == *">= "* ]] || continue
		candidate=$(apt_candidate "$package")
		[[ -z $candidate ]] || dpkg --compare-versions "$candidate" ge "${probe##*>= }" ||
			old+=("$package ${candidate%%-*} (needed: ${probe##*>= } or later)")
	done <<<"$build_needs"
	((${#old[@]} == 0)) ||
		die "this release is too old for segfs, and nothing was installed: it has $(printf '%s, ' "${old[@]}" | sed 's/, $//'). Debian 12, Ubuntu 24.04 and what is later will do"
	get_libfuse
}

# ensure NEEDS: installs what is missing of a list as above.
ensure() {
	local package probe what missing=() updated=no
	local -A why=()
	while IFS='|' read -r package probe what; do
		if ! is_there "$package" "$probe" && [[ -z ${why[$package]-} ]]; then
			missing+=("$package")
			why[$package]=$what
		fi
	done <<<"$1"
	((${#missing[@]})) || return 0

	if ! is_debian; then
		printf '%s: not Debian or Ubuntu, so install these yourself and run it again:\n' "$me" >&2
		for package in "${missing[@]}"; do
			printf '  %s (on Debian: %s)\n' "${why[$package]}" "$package" >&2
		done
		exit 1
	fi
	say "installing with apt:"
	for package in "${missing[@]}"; do
		printf '  %-18s %s\n' "$package" "${why[$package]}"
	done
	if ((EUID)) && ! command -v sudo >/dev/null; then
		die "not root and no sudo: have root run: apt-get install ${missing[*]}"
	fi
	for package in "${missing[@]}"; do
		if [[ $updated == no && -z $(apt_candidate "$package") ]]; then
			quiet "apt-get update" apt_get update || exit 1
			updated=yes
		fi
	done
	# A list that has aged names files that are gone: a second try, with a new one.
	if [[ $updated == no ]]; then
		need_scratch
		apt_get install --no-install-recommends "${missing[@]}" >"$scratch/log" 2>&1 </dev/null && return
		quiet "apt-get update" apt_get update || exit 1
	fi
	quiet "apt-get install" apt_get install --no-install-recommends "${missing[@]}" || exit 1
}

# wish NEEDS FOR: what can be done without, as a list for ensure, and what it is for. No package is
# removed for it (containerd's are at odds with docker's own); where one is not to be had it goes on.
wish() {
	local package probe what missing=() one
	while IFS='|' read -r package probe what; do
		answers "${probe%% *}" "${probe#* }" || missing+=("$package")
	done <<<"$1"
	((${#missing[@]})) && is_debian || return 0
	if ((EUID)) && ! sudo -n true 2>/dev/null; then
		say "not installed, for $2: ${missing[*]}"
		return 0
	fi
	say "installing with apt, for $2: ${missing[*]}"
	need_scratch
	local install=(apt_get install --no-install-recommends --no-remove)
	"${install[@]}" "${missing[@]}" >"$scratch/log" 2>&1 </dev/null && return 0
	apt_get update >"$scratch/log" 2>&1 </dev/null || true
	for one in "${missing[@]}"; do
		"${install[@]}" "$one" >"$scratch/log" 2>&1 </dev/null ||
			say "  without $one: $(grep -m 1 '^E:' "$scratch/log" || echo 'apt-get failed')"
	done
}

# fresh_debian SUITE DIR: one with nothing in it. Below build/: what was downloaded once is taken again.
fresh_debian() {
	local suite=$1 dir=$2 base=$top/build/debian-$1.tar
	if [[ ! -f $base ]]; then
		quiet debootstrap debootstrap --variant=minbase --include=git,ca-certificates "$suite" "$dir" \
			http://deb.debian.org/debian
		mkdir -p "$top/build"
		tar -C "$dir" -c . >"$base.part" && mv "$base.part" "$base"
		rm -rf "$dir"
	fi
	mkdir "$dir"
	tar -C "$dir" -xpf "$base"
}

wrap_field() { sed -n "s/^$1 *= *//p" "$top/subprojects/fuse3.wrap"; }

# The machine's own apt sources for its Debian release, turned into deb-src for $fuse_suite:
# same archive, same keys. Both formats of apt's sources; writes to directory $1.
private_sources() {
	local codename
	# shellcheck disable=SC1091
	codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME-}")
	local own="^(${codename:-stable}|stable|oldstable)\$"
	{ find /etc/apt/sources.list.d -name '*.sources' -exec sh -c 'cat "$1"; printf "\n\n"' _ {} \; 2>/dev/null || true; } |
		sed '/^#/d; s/[[:space:]]*$//' |
		awk -v RS= -v FS='\n' -v own="$own" -v suite="$fuse_suite" '{
			out = ""; binary = ours = off = skip = 0
			for (i = 1; i <= NF; i++) {
				if ($i !~ /^[ \t]/) {
					name = tolower($i); sub(/:.*/, "", name)
					skip = name ~ /^(types|suites|components)$/
					if (name == "enabled" && tolower($i) ~ /: *(no|false|0|off|disable|without)$/)
						off = 1
				}
				value = $i; sub(/^[^ \t:]*:/, "", value)
				n = split(value, words, /[ \t]+/)
				for (w = 1; w <= n; w++) {
					if (name == "types" && words[w] ~ /^deb(-src)?$/) binary = 1
					if (name == "suites" && words[w] ~ own) ours = 1
				}
				if (!skip) out = out $i "\n"
			}
			if (binary && ours && !off)
				printf "Types: deb-src\nSuites: %s\nComponents: main\n%s\n", suite, out
		}' >"$1/own.sources"
	{ find /etc/apt/sources.list /etc/apt/sources.list.d -name '*.list' -exec cat {} + 2>/dev/null || true; } |
		awk -v own="$own" -v suite="$fuse_suite" '$1 ~ /^deb(-src)?$/ {
			options = ""
			sub(/^[ \t]*deb(-src)?[ \t]+/, "")
			if (match($0, /^\[[^]]*\][ \t]*/)) {
				options = substr($0, 1, RLENGTH)
				$0 = substr($0, RLENGTH + 1)
			}
			if ($1 !~ /^cdrom:/ && $2 ~ own) print "deb-src " options $1, suite, "main"
		}' | sort -u >"$1/own.list"
}

# Fetches libfuse's release tarball, which is in Debian's source package as it is, to $1.
# In private apt directories: the machine's sources and lists stay as they are.
libfuse_from_apt() {
	local to=$1 version=$2 dir found
	# shellcheck disable=SC1091
	[[ $(. /etc/os-release 2>/dev/null && printf '%s' "${ID-}") == debian ]] || return 1
	need_scratch
	dir=$scratch/apt
	mkdir -p "$dir"/{sources,lists/partial,cache/archives/partial,files}
	private_sources "$dir/sources"
	[[ -s $dir/sources/own.sources || -s $dir/sources/own.list ]] || return 1
	# The sandbox user could not write here, and only a warning would come of it.
	local options=(-q -o "Dir::State::Lists=$dir/lists" -o "Dir::Cache=$dir/cache"
		-o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$dir/sources"
		-o APT::Sandbox::User=root -o Acquire::Retries=2)
	apt-get "${options[@]}" update || return 1
	found=$(apt-cache "${options[@]}" showsrc --only-source fuse3 |
		awk -v want="$version-" '$1 == "Version:" && index($2, want) == 1 { print $2; exit }') || return 1
	[[ -n $found ]] || return 1
	(cd "$dir/files" && apt-get "${options[@]}" source --download-only --tar-only "fuse3=$found") || return 1
	# Moved within one directory at the end, so that a half copy never has the name.
	cp "$dir/files/fuse3_$version.orig.tar.gz" "$to.part" && mv "$to.part" "$to"
}

# The same file from Debian's pool, or from upstream. By apt's own downloader: a fresh system has no other.
libfuse_from_net() {
	local to=$1 version=$2 url=$3 hash=$4 helper=/usr/lib/apt/apt-helper from
	[[ -x $helper ]] || return 1
	for from in "http://deb.debian.org/debian/pool/main/f/fuse3/fuse3_$version.orig.tar.gz" "$url"; do
		if [[ $from == https:* ]]; then
			ensure "ca-certificates|cmd update-ca-certificates|certificates, to fetch libfuse from upstream"
		fi
		timeout 120 "$helper" -o Acquire::Retries=1 download-file "$from" "$to.part" "SHA256:$hash" && mv "$to.part" "$to" && return
	done
	return 1
}

# After this Meson finds libfuse without asking the network.
get_libfuse() {
	! answers pc "fuse3 >= $fuse_min" || return 0
	local file hash url directory cached
	file=$(wrap_field source_filename) hash=$(wrap_field source_hash)
	url=$(wrap_field source_url) directory=$(wrap_field directory)
	cached=$top/subprojects/packagecache/$file
	if [[ ! -e $cached ]]; then
		# Unpacked already, so Meson won't look for the tarball.
		[[ ! -f $top/subprojects/$directory/meson.build ]] || return 0
		if is_debian && dpkg --compare-versions "$(apt_candidate libfuse3-dev)" ge "$fuse_min"; then
			ensure "libfuse3-dev|pc fuse3 >= $fuse_min|libfuse with its headers"
			return
		fi
		say "fetching libfuse ${directory#fuse-}: this system has none >= $fuse_min"
		need_scratch
		mkdir -p "$top/subprojects/packagecache"
		if ! libfuse_from_apt "$cached" "${directory#fuse-}" >"$scratch/log" 2>&1 </dev/null &&
			! libfuse_from_net "$cached" "${directory#fuse-}" "$url" "$hash" >"$scratch/log" 2>&1 </dev/null; then
			rm -f "$cached.part"
			# Meson itself would wait ten minutes for an answer.
			is_debian || (cd "$top" && timeout 120 meson subprojects download fuse3) >"$scratch/log" 2>&1 </dev/null || true
			rm -f "$top"/subprojects/packagecache/tmp???????? # Meson's tries
		fi
		[[ -f $cached ]] ||
			die "cannot fetch libfuse: get $url elsewhere, put it at $cached and run this again"
	fi
	[[ $(sha256sum <"$cached") == "$hash  -" ]] ||
		die "$cached is not the file that subprojects/fuse3.wrap names (sha256): delete it and run this again"
}

# build NAME [MESON OPTION...]: build/NAME, set up the first time only.
build() {
	local dir=$top/build/$1
	shift
	if [[ ! -f $dir/build.ninja ]]; then
		rm -rf "$dir" # what a set-up that failed has left
		quiet "meson setup" meson setup "$dir" "$top" "$@" || return 1
	fi
	quiet "the build" ninja -C "$dir"
}
