# SPDX-License-Identifier: LGPL-2.1-or-later
"""refuse.py CALL[:ARGUMENT:VALUE]=ERRNO,... COMMAND...: runs it where the kernel answers those system calls so, as one that lacks
them or a container's. CALL is a name, or a number that libseccomp has no name for; with ARGUMENT (0 to 5) it is refused for that VALUE."""
import ctypes
import errno
import os
import sys

seccomp = ctypes.CDLL("libseccomp.so.2", use_errno=True)
seccomp.seccomp_init.restype = ctypes.c_void_p
seccomp.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p]
seccomp.seccomp_load.argtypes = [ctypes.c_void_p]
ALLOW, ERRNO = 0x7FFF0000, 0x00050000



class Is(ctypes.Structure):  # struct scmp_arg_cmp
    _fields_ = [("argument", ctypes.c_uint), ("operation", ctypes.c_int), ("value", ctypes.c_uint64), ("unused", ctypes.c_uint64)]


EQUAL = 4
rules = seccomp.seccomp_init(ALLOW)
for one in sys.argv[1].split(","):
    what, error = one.split("=")
    call, *asked = what.split(":")
    number = int(call) if call.isdigit() else seccomp.seccomp_syscall_resolve_name(call.encode())
    only = Is(int(asked[0]), EQUAL, int(asked[1], 0), 0) if asked else None
    if seccomp.seccomp_rule_add_array(rules, ERRNO | getattr(errno, error), number, 1 if only else 0, only and ctypes.byref(only)):
        sys.exit(f"refuse.py: no rule for {call}")
if seccomp.seccomp_load(rules):
    sys.exit("refuse.py: the rules cannot be loaded")
os.execvp(sys.argv[2], sys.argv[2:])
