#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the mount tells to whom, and how: no more than the kernel would, and nothing that a terminal
# obeys. (-o orphan_age=0)
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib-holders.sh"
. "$(dirname "$0")/lib-ns.sh"
need getfattr jq nsenter

chmod 1777 /dev/shm
raw() { LC_ALL=C grep -acP '[\x00-\x08\x0b-\x1f\x7f-\x9f]'; }

diag "--- names that a user chooses, on a terminal"
groups=$TESTDIR/groups
mkdir "$groups"
odd=lxc.payload.segfs-test-$$-$'fake\e]0;pwn\a\xc2\x9b31mX'
if mount -t cgroup2 none "$groups" && mkdir "$groups/$odd"; then
	id=$(mkseg 4096 0600)
	hold A "$HOLDERS" attach "$id"
	container C --
	held A >"$groups/$odd/cgroup.procs"
	echo "${agent_process[C]}" >"$groups/$odd/cgroup.procs"
	info "sysv/$id" >"$TESTDIR/text"
	like "$(info "sysv/$id" Holder)" 'cgroup /.*fake\\033\]0;pwn\\007\\302\\23331mX' "the cgroup of a holder, escaped"
	is "$(raw <"$TESTDIR/text")" 0 "no control character in info/"
	/bin/cat "${ns[C]}/info/namespace" >"$TESTDIR/text"
	like "$(grep -a '^Container:' "$TESTDIR/text")" "lxc segfs-test-$$-fake\\\\033\\]0;pwn\\\\007\\\\302\\\\23331mX" "the container of a namespace"
	is "$(grep -ac '^Cgroup:.*fake\\033' "$TESTDIR/text") $(raw <"$TESTDIR/text")" "1 0" "and its cgroup"
	drop A
	quit C
	until_true 10 rmdir "$groups/$odd" || diag "$groups/$odd stays"
	umount "$groups"
else
	skip "names of cgroups" "no cgroup can be made"
fi
name=$'odd\xc2\x9b31m\xff\e\'\\é'
head -c 100 /dev/zero >"/dev/shm/$name"
hold A "$HOLDERS" open "/dev/shm/$name" $'\xc2\x9b2J\x9bé'
info "posix/$name" >"$TESTDIR/text"
is "$(LC_ALL=C.UTF-8 grep -acP '\p{Cc}(?<!\t)' "$TESTDIR/text")" 0 "names of files and command lines"
like "$(info "posix/$name" Name)" 'odd\\302\\23331m\\377\\033.\\é$' "what is text stays readable"
drop A
(cd "$MNT" && eval "$(sed -n 's/^Remove:\t\(.*\)   or: .*/\1/p' "$TESTDIR/text")")
is "$(ls /dev/shm | wc -l)" 0 "what it says would remove it does"

done_testing
