# SPDX-License-Identifier: LGPL-2.1-or-later
"""refuse.py CALL=ERRNO,... COMMAND...: runs it where the kernel answers those system calls so, as one that lacks them or a container's."""
import ctypes
import errno
import os
import sys

seccomp = ctypes.CDLL("libseccomp.so.2", use_errno=True)
seccomp.seccomp_init.restype = ctypes.c_void_p
seccomp.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p]
seccomp.seccomp_load.argtypes = [ctypes.c_void_p]
ALLOW, ERRNO = 0x7FFF0000, 0x00050000

rules = seccomp.seccomp_init(ALLOW)
for one in sys.argv[1].split(","):
    call, error = one.split("=")
    number = seccomp.seccomp_syscall_resolve_name(call.encode())
    if seccomp.seccomp_rule_add_array(rules, ERRNO | getattr(errno, error), number, 0, None):
        sys.exit(f"refuse.py: no rule for {call}")
if seccomp.seccomp_load(rules):
    sys.exit("refuse.py: the rules cannot be loaded")
os.execvp(sys.argv[2], sys.argv[2:])
