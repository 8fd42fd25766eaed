/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "segls/output.h"
#include "segls/segls.h"

/* What has how much. */
typedef enum {
	SUMS_BY_PROGRAM,
	SUMS_BY_PROCESS,
	SUMS_BY_USER,
	SUMS_BY_CONTAINER,
	SUMS_BY_NAME,
} SumsBy;

gboolean sums_parse(const char *word, SumsBy *ret_by);
/* Appends a row for each, the greatest first. */
void sums_write(const Table *table, SumsBy by, const GPtrArray *items, OutputFormat format,
		bool headings, GString *text);
