/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* By which functions a piece of memory was made, in words. */

#include "lib/history/history.h"
#include "tree/item.h"

void info_write_stack(IpcNs *ns, const SegfsCaller *caller, const SegfsPast *past, GString *text)
{
	const char *proc_root = segfs_ipc_proc_root(ns->ipc);

	if (!segfs_past_stack_is_visible(proc_root, caller, past))
		return;
	const guint n = segfs_stack_n(past->stack);
	g_auto(GStrv) names = history_name_stack(ns->tree->history, caller, past);
	for (guint i = 0; i < n; i++) {
		const SegfsFrame frame = segfs_stack_frame(past->stack, i);
		g_autofree char *where = segfs_frame_text(&frame);
		g_string_append_printf(text, "CreatorStack:\t%s%s\n", where, names[i]);
	}
	if (n == 1)
		g_string_append(text,
				"CreatorStack:\tno callers: the program has no frame pointers "
				"(gcc -fno-omit-frame-pointer)\n");
}
