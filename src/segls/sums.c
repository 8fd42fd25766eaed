/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Sums: who has how much shared memory. A piece counts for each that holds it, once, however many
 * processes of it do; so the sums of all are more than there is. What nobody holds is in a row of
 * its own.
 */

#include <inttypes.h>
#include <string.h>

#include "segls/output.h"
#include "segls/segls.h"
#include "segls/sums.h"

#define NOBODY OUTPUT_NOTHING

typedef struct {
	char *name;
	uint64_t pieces, size, resident, mapped, open;
	uint64_t alone; /* resident bytes that nothing else holds */
	uint64_t freed; /* of them those without a name: the kernel frees them with their holders */
} Sum;

typedef struct {
	SumsBy by;
	const Table *table;
	GHashTable *sums; /* name -> Sum */
} Summing;

static void sum_free(gpointer pointer)
{
	Sum *sum = pointer;

	g_free(sum->name);
	g_free(sum);
}

static const struct {
	const char *word, *heading;
} words[] = {
	[SUMS_BY_PROGRAM] = {"program", "PROGRAM"},
	[SUMS_BY_PROCESS] = {"process", "PROCESS"},
	[SUMS_BY_USER] = {"user", "USER"},
	[SUMS_BY_CONTAINER] = {"container", "CONTAINER"},
	[SUMS_BY_NAME] = {"name", "NAME"},
};

gboolean sums_parse(const char *word, SumsBy *ret_by)
{
	for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
		if (strcmp(words[i].word, word) != 0)
			continue;
		*ret_by = (SumsBy)i;
		return TRUE;
	}
	return FALSE;
}

/* In whose row the process's share is; the caller's to free. */
static char *name_of(Summing *summing, const SegfsProcess *process)
{
	switch (summing->by) {
	case SUMS_BY_PROCESS:
		return g_strdup_printf("%d %s", process->pid, process->command);
	case SUMS_BY_USER: {
		char *user = segfs_user_name(process->uid);
		return user ? user : g_strdup_printf("%u", process->uid);
	}
	case SUMS_BY_CONTAINER:
		return g_strdup(table_container(summing->table, process));
	default:
		return g_strdup(process->command);
	}
}

static Sum *sum_of(Summing *summing, const char *name)
{
	Sum *sum = g_hash_table_lookup(summing->sums, name);

	if (sum)
		return sum;
	sum = g_new0(Sum, 1);
	sum->name = g_strdup(name);
	g_hash_table_insert(summing->sums, sum->name, sum);
	return sum;
}

static void add_piece(Sum *sum, const SegfsItem *item)
{
	sum->pieces++;
	sum->size += item->size;
	sum->resident += item->has_resident ? item->resident : 0;
}

static void add_alone(Sum *sum, const SegfsItem *item)
{
	const uint64_t resident = item->has_resident ? item->resident : 0;

	sum->alone += resident;
	sum->freed += item->unlinked ? resident : 0;
}

/* Its row is that of its name: all memfds of one name, whoever has them, are in one. */
static void add_by_name(Summing *summing, const SegfsItem *item)
{
	g_autofree char *name =
		item->id.kind == SEGFS_SYSV
			? g_strdup_printf("sysv 0x%08x", (unsigned int)item->sysv.key)
			: g_strdup_printf("%s %s", segfs_kind_name(item->id.kind),
					  item->name ? item->name : NOBODY);
	Sum *sum = sum_of(summing, name);

	add_piece(sum, item);
	for (guint i = 0; i < item->holders->len; i++) {
		const SegfsHolder *holder = &g_array_index(item->holders, SegfsHolder, i);
		sum->mapped += holder->attached + holder->mapped;
		sum->open += holder->open;
	}
	if (item->holders->len <= 1)
		add_alone(sum, item);
}

static void add(Summing *summing, const SegfsItem *item)
{
	g_autoptr(GHashTable) holding = g_hash_table_new(NULL, NULL); /* a set of Sum */
	Sum *last = NULL;

	for (guint i = 0; i < item->holders->len; i++) {
		const SegfsHolder *holder = &g_array_index(item->holders, SegfsHolder, i);
		g_autofree char *name = name_of(summing, holder->process);
		Sum *sum = sum_of(summing, name);
		if (g_hash_table_add(holding, sum))
			add_piece(sum, item);
		last = sum;
		sum->mapped += holder->attached + holder->mapped;
		sum->open += holder->open;
	}
	if (item->holders->len == 0)
		add_piece(sum_of(summing, NOBODY), item);
	else if (g_hash_table_size(holding) == 1 && item->n_not_found == 0)
		add_alone(last, item);
}

static void take_value(gpointer name, gpointer sum, gpointer sums)
{
	g_ptr_array_add(sums, sum);
}

/* The greatest first. */
static int compare(gconstpointer a, gconstpointer b)
{
	const Sum *x = *(const Sum *const *)a, *y = *(const Sum *const *)b;

	if (x->resident != y->resident)
		return x->resident < y->resident ? 1 : -1;
	if (x->size != y->size)
		return x->size < y->size ? 1 : -1;
	return strcmp(x->name, y->name);
}

static void put_count(const Output *output, OutputLine *line, guint column, uint64_t count)
{
	g_autofree char *cell = g_strdup_printf("%" PRIu64, count);

	output_cell(output, line, column, cell);
}

static void put_size(const Output *output, OutputLine *line, guint column, const Table *table,
		     uint64_t size)
{
	g_autoptr(GString) cell = g_string_new(NULL);

	table_append_size(table, size, cell);
	output_cell(output, line, column, cell->str);
}

static void write_line(const Table *table, const Sum *sum, Output *output)
{
	OutputLine *line = output_line(output, NULL);

	put_count(output, line, 0, sum->pieces);
	put_size(output, line, 1, table, sum->size);
	put_size(output, line, 2, table, sum->resident);
	put_size(output, line, 3, table, sum->alone);
	put_size(output, line, 4, table, sum->freed);
	put_count(output, line, 5, sum->mapped);
	put_count(output, line, 6, sum->open);
	output_cell(output, line, 7, sum->name);
}

void sums_write(const Table *table, SumsBy by, const GPtrArray *items, OutputFormat format,
		bool headings, GString *text)
{
	static const char *const names[] = {"PIECES", "SIZE",   "RESIDENT",   "ALONE",
					    "FREED",  "MAPPED", "DESCRIPTORS"};
	g_autoptr(GHashTable) sums = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, sum_free);
	g_autoptr(Output) output = output_new("sums", format, headings);
	Summing summing = {by, table, sums};

	for (guint i = 0; i < items->len; i++) {
		if (by == SUMS_BY_NAME)
			add_by_name(&summing, items->pdata[i]);
		else
			add(&summing, items->pdata[i]);
	}
	g_autoptr(GPtrArray) sorted = g_ptr_array_new();
	g_hash_table_foreach(sums, take_value, sorted);
	g_ptr_array_sort(sorted, compare);
	for (guint i = 0; i < G_N_ELEMENTS(names); i++)
		output_column(output, names[i], OUTPUT_NUMBER);
	output_column(output, words[by].heading, OUTPUT_FILE);
	for (guint i = 0; i < sorted->len; i++)
		write_line(table, sorted->pdata[i], output);
	output_print(output, text);
}
