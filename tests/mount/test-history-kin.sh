#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Of whom the kernel has told at their end the family is known, though nobody has looked while they lived. (-o orphan_age=1)
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib-holders.sh"
. "$(dirname "$0")/lib-relatives.sh"
need getfattr python3
: "${SERVER:?}"

orphans=$MNT/orphans
chmod 1777 /dev/shm
told=$(info "sysv/$(mkseg 4096 0600)" History)
[[ $told == "the ends of tasks and /dev/shm, since "* ]] || { skip "who lives of a family" "$told"; done_testing; }
linux_is 6 18 || { skip "who lives of a family" "before Linux 6.18 what a task ran is gone when the kernel tells of its end"; done_testing; }
ipcrm --all=shm
# Which has one parent of its name, and not all the shells that a test has: an object's creator may still have been that.
serve() { hold "$1" python3 -c 'import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))' "$SERVER" "${@:2}"; }

diag "--- of two servers of one user, started after segfs, one is killed"
for kind in sysv posix; do
	serve A $kind server
	serve B $kind server
	is "$(tell A again) $(tell B again)" "there there" "$kind: each has its second piece"
	dead="$kind-$(held A 2) $kind-$(held A 3)" first=$(held B 2) second=$(held B 3)
	killed A
	aged
	# shellcheck disable=SC2086
	ok "$kind: what it has left are orphans" until_true 20 orphans_are $dead
	row "$kind: the other's, which it holds" "$kind/$first" "in use" "$(held B)"
	idle "$kind: the other's, which its child has made" "$kind/$second" "; its creator's parent $(held B) \(server\) lives"
	ok "$kind: rm mnt/orphans/*" rm "$orphans"/*
	is "$(tell B again)" there "$kind: breaks nobody"
	killed B
	ok "$kind: until it has ended" until_true 20 orphans_are "$kind-$first" "$kind-$second"
	ok "$kind: rm" rm "$orphans"/*
done

diag "--- another job of the program is no relative, also once a process has ended that had very many children"
cat >"$TESTDIR/crowd.py" <<-'END'
	import os
	(out, into) = os.pipe()
	for _ in range(300):
	    if os.fork() == 0:
	        os.close(into)
	        os.read(out, 1)
	        os._exit(0)
END
ok "one with 300 ends" python3 "$TESTDIR/crowd.py"
hold B "$SERVER" sysv job
hold C "$SERVER" sysv job
unseen=$(held C 2) kept=$(held B 2)
killed C
ok "what one has left is an orphan while the other runs" until_true 20 orphans_are "sysv-$unseen"
killed B
ok "and then both" until_true 20 orphans_are "sysv-$unseen" "sysv-$kept"
ok "rm" rm "$orphans"/*

diag "--- a child that was left behind"
hold A "$SERVER" sysv heir
heirs=$(held A 2)
is "$(tell A end parent)" ended "its creator ends"
aged
idle "a child of it lives" "sysv/$heirs" "; its creator's child $(held A) \(server\) lives"
drop A
ok "and has ended" until_true 20 orphans_are "sysv-$heirs"
ok "rm" rm "$orphans"/*

diag "--- a process that runs another program afterwards, and one whose parent has ended before it"
cat >"$TESTDIR/family.py" <<-'END'
	import ctypes, os, sys
	libc = ctypes.CDLL(None)
	libc.shmat.restype = ctypes.c_void_p
	make = lambda: libc.shmget(0, 4096, 0o1600)
	libc.shmat(make(), None, 0)
	(out, into) = os.pipe()
	if (child := os.fork()) == 0:
	    os.write(into, b"%d " % make())
	    os.execv("/bin/true", ["true"])
	os.waitpid(child, 0)
	def without_parent(deed):
	    if (child := os.fork()) == 0:
	        parent = os.getpid()
	        if os.fork() == 0:
	            while os.getppid() == parent:
	                pass
	            deed()
	        os._exit(0)
	    os.waitpid(child, 0)
	def child_makes():
	    if (child := os.fork()) == 0:
	        os.write(into, b"%d " % make())
	        os._exit(0)
	    os.waitpid(child, 0)
	said = os.read(out, 100)
	without_parent(lambda: os.write(into, b"%d " % make()))
	said += os.read(out, 100)
	without_parent(child_makes)
	said += os.read(out, 100)
	os.close(into)
	os.read(out, 1)
	print("ready", os.getpid(), said.decode(), flush=True)
	sys.stdin.read()
END
hold A python3 "$TESTDIR/family.py"
aged
idle "it was of its parent's program when it made it" "sysv/$(held A 2)" "; its creator's parent $(held A) \(python3[.0-9]*\) lives"
# Its parent ended before it. Where that end was told of in time the family is known nevertheless.
idle "whose parent had ended" "sysv/$(held A 3)" "; (its creator's ancestor $(held A) \(python3[.0-9]*\) lives|$(held A) \(python3[.0-9]*\) of its owner, older than it, holds another; its creator is not known)"
idle "whose parent's parent had ended" "sysv/$(held A 4)" "; $(held A) \(python3[.0-9]*\) of its owner, older than it, holds another; its creator is not known"
killed A
rm -f "$orphans"/*

diag "--- one whose parent had ended before somebody looked, and that leads a session as services do"
hold A python3 "$(dirname "$0")/../programs/adopted.py" setsid
row "its creator lives" "sysv/$(held A 2)" idle
is "$(tell A end child)" ended "it ends"
aged
idle "that it was seen is not all" "sysv/$(held A 2)" "; $(held A) \(python3[.0-9]*\) of its owner, older than it, holds another; its creator is not known"
drop A
is $false_verdicts 0 "no false verdict"
done_testing
