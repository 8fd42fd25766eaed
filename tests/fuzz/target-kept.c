/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What one daemon has kept for the next, into what takes it apart, as if its checksum were right.
 */

#include <glib.h>
#include <stdint.h>

#include "lib/record/log.h"
#include "lib/record/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GBytes) bytes = g_bytes_new(data, size);
	g_autoptr(GVariant) both = g_variant_ref_sink(g_variant_new_from_bytes(
		G_VARIANT_TYPE("(" LOG_TYPE TABLE_TYPE ")"), bytes, FALSE));
	g_autoptr(GVariant) of_log = NULL, of_table = NULL;
	g_autoptr(Log) log = log_new(4096);
	g_autoptr(Table) table = table_new(10, 4);

	if (!g_variant_is_normal_form(both))
		return 0;
	g_variant_get(both, "(@" LOG_TYPE "@" TABLE_TYPE ")", &of_log, &of_table);
	if (!log_restore(log, of_log))
		return 0;
	table_restore(table, of_table);
	log_add(log, log_line(1, "create", "posix/y"));
	/* What was taken can be kept again. */
	g_variant_unref(g_variant_ref_sink(log_save(log)));
	g_variant_unref(g_variant_ref_sink(table_save(table)));
	g_assert_true(table_n_pieces(table) <= 10);
	return 0;
}
