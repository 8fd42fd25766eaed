#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Programs that copy into key/ and edit there: what segfs(8) says of them, NOTES. test-create.sh has those that just work.
. "$(dirname "$0")/lib.sh"
need rsync tar

key=$MNT/key
cd "$TESTDIR" || exit 1
seq 1 10000 | head -c 10000 >image
chmod 640 image
touch -d '2020-02-02 02:02:02' image
# bytes, mode and what the directory has: one segment and nothing beside it
whole() {
	same "$1: the bytes" image "$key/$2"
	is "$(stat -c '%s %a' "$key/$2")" "10000 ${3:-640}" "$1: size and mode"
	rm -f "$key/$2"
	is "$(ls -A "$key")" "" "$1: nothing beside it"
}

diag "--- times: a file that is being made takes them and forgets them, a segment has no call for it"
ok "cp -p makes one" cp -p image "$key/0x1"
isnt "$(stat -c %y "$key/0x1")" "$(stat -c %y image)" "whose times are its own"
fails_with EPERM "cp -p onto it" cp -p image "$key/0x1"
whole "cp -p" 0x1
ok "install -p" install -p -m 640 image "$key/0x1"
whole "install -p" 0x1
ok "cp --preserve=mode,ownership" cp --preserve=mode,ownership image "$key/0x1"
ok "again, onto it" cp --preserve=mode,ownership image "$key/0x1"
whole "cp --preserve=mode,ownership" 0x1
for option in -a -t; do
	fails_with EPERM "rsync $option --inplace" rsync $option --inplace image "$key/0x1"
	whole "rsync $option, but for its times" 0x1 600
done
ok "rsync -p --inplace --sparse" rsync -p --inplace --sparse image "$key/0x1"
whole "rsync -p" 0x1
fails_with EINVAL "rsync without --inplace" rsync -p image "$key/0x1"
is "$(ls -A "$key")" "" "makes nothing"
tar --transform 's/image/0x1/' -cSf tar image
ok "tar -x" tar -C "$key" -xpf tar
ok "tar -x onto it makes it anew" tar -C "$key" -xpf tar
fails_with EPERM "tar -x --overwrite" tar -C "$key" -xpf tar --overwrite
ok "tar -x -m --overwrite" tar -C "$key" -xmpf tar --overwrite
whole "tar -x" 0x1
if command -v busybox >/dev/null && busybox --list | grep -qx cp; then
	like "$(busybox cp -p image "$key/0x1" 2>&1)" "Operation not permitted" "busybox cp -p"
	whole "busybox cp -p, but for its times" 0x1
else
	skip "busybox cp -p" "no busybox, or one without cp"
fi
if command -v python3 >/dev/null; then
	fails_with EPERM "shutil.copy2" python3 -c 'import shutil, sys; shutil.copy2("image", sys.argv[1])' "$key/0x1"
	whole "shutil.copy2, but for its times" 0x1 644
	ok "shutil.copy" python3 -c 'import shutil, sys; shutil.copy("image", sys.argv[1])' "$key/0x1"
	whole "shutil.copy" 0x1
else
	skip "shutil" "no python3"
fi

diag "--- editors"
cp --preserve=mode image "$key/0x1"
inode=$(stat -c %i "$key/0x1")
sed '1s/1/9/' image >edited
# With a home of its own, and no terminal.
edit() { HOME=$TESTDIR vim -u NONE -N -n -es "$@" "$key/0x1"; }
if command -v vim >/dev/null; then
	ok "vim -b" edit -b -c '1s/1/9/' -c wq
	same "has changed it" edited "$key/0x1"
	is "$(stat -c '%i %s %a' "$key/0x1")" "$inode 10000 640" "in place"
	ok "vim -b makes it shorter" edit -b -c 1d -c wq
	is "$(head -c 9998 "$key/0x1" | cksum) $(tail -c 2 "$key/0x1" | od -An -tx1 | xargs)" "$(tail -c +3 edited | cksum) 00 00" "behind the end are zeroes"
	cp image "$key/0x1"
	edit -b -c '1s/1/123/' -c 'wq!' >/dev/null 2>&1
	isnt $? 0 "vim -b does not make it longer, and says so"
	is "$(stat -c '%i %s' "$key/0x1")" "$inode 10000" "it is no longer than before"
	cp image "$key/0x1"
	edit -c '1s/1/9/' -c 'wq!' >/dev/null 2>&1
	isnt $? 0 "vim without -b would add a newline"
	is "$(ls -A "$key")" 0x00000001 "nothing is left beside it"
else
	skip "vim" "no vim"
fi
cp image "$key/0x1"
ok "dd conv=notrunc" sh -c "printf 9 | dd of='$key/0x1' conv=notrunc status=none"
same "has changed a byte" edited "$key/0x1"
cp image "$key/0x1"
if command -v xxd >/dev/null; then
	ok "xxd -r" sh -c "echo 0: 39 | xxd -r - '$key/0x1'"
	same "has changed a byte" edited "$key/0x1"
else
	skip "xxd -r" "no xxd"
fi
fails_with EINVAL "sed -i has no place for a new file" sed -i 's/9/8/' "$key/0x1"
is "$(ls -A "$key")" 0x00000001 "and leaves nothing"
done_testing
