// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * no-fentry: to be preloaded by a program that is to believe that its kernel refuses programs at
 * the entry and the return of functions, as some do. libbpf calls bpf(2) by syscall(2).
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

long syscall(long number, ...)
{
	long (*real)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	long arguments[6];
	va_list list;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		arguments[i] = va_arg(list, long);
	va_end(list);
	const union bpf_attr *attr = (const union bpf_attr *)arguments[1];
	if (number == SYS_bpf && arguments[0] == BPF_PROG_LOAD &&
	    attr->prog_type == BPF_PROG_TYPE_TRACING &&
	    (attr->expected_attach_type == BPF_TRACE_FENTRY ||
	     attr->expected_attach_type == BPF_TRACE_FEXIT)) {
		errno = EPERM;
		return -1;
	}
	return real(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4],
		    arguments[5]);
}
