/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A file of a mount is read by a child, which can be left: a daemon that does not answer keeps
 * nobody waiting. Whose mount it is the kernel says (user_id=, proc_pid_mountinfo(5)), not the
 * mount.
 */

#include "segls/mounted.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-glib/json-glib.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEGLS_ERROR g_quark_from_static_string("segls")
#define PATIENCE_MS 10000

struct Mounted {
	GArray *asked;     /* Asking, those asked first first */
	GHashTable *pasts; /* what names a piece of memory -> MountedPast */
};

/* Does the line of mountinfo say that this is a segfs of root's, or of ours? */
static char *mountpoint_of(const char *line)
{
	g_auto(GStrv) fields = g_strsplit(line, " ", -1);
	const guint n = g_strv_length(fields);
	guint at = 0;

	while (at < n && strcmp(fields[at], "-") != 0)
		at++;
	if (at < 6 || at + 3 >= n || strcmp(fields[at + 1], "fuse.segfs") != 0 ||
	    strcmp(fields[3], "/") != 0)
		return NULL;
	g_auto(GStrv) options = g_strsplit(fields[at + 3], ",", -1);
	g_autofree char *own = g_strdup_printf("user_id=%u", getuid());
	if (!g_strv_contains((const char *const *)options, "user_id=0") &&
	    !g_strv_contains((const char *const *)options, own))
		return NULL;
	return g_strcompress(fields[4]);
}

/* The last one mounted first. */
static GPtrArray *find_mounts(void)
{
	GPtrArray *mounts = g_ptr_array_new_with_free_func(g_free);
	g_autofree char *text = NULL;

	if (!g_file_get_contents("/proc/self/mountinfo", &text, NULL, NULL))
		return mounts;
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	for (char **line = lines; *line; line++) {
		char *mountpoint = mountpoint_of(*line);
		if (mountpoint)
			g_ptr_array_insert(mounts, 0, mountpoint);
	}
	return mounts;
}

/* All in a child, which has no other threads: what it cannot do is its exit status. */
typedef int (*Copy)(const char *mountpoint, const char *name, int out);

static int copy_file(const char *mountpoint, const char *name, int out)
{
	static char bytes[65536];
	const int directory = open(mountpoint, O_PATH | O_DIRECTORY | O_CLOEXEC);
	const int in = openat(directory, name, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (in < 0)
		return errno;
	while ((n = read(in, bytes, sizeof(bytes))) > 0)
		for (ssize_t done = 0, w; done < n; done += w)
			if ((w = write(out, bytes + done, n - done)) < 0)
				return errno;
	return n < 0 ? errno : 0;
}

/* Each file of a directory, a NUL behind it; what has gone meanwhile is left out. */
static int copy_directory(const char *mountpoint, const char *name, int out)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", mountpoint, name);
	DIR *directory = opendir(path);
	if (!directory)
		return errno;
	for (struct dirent *entry; (entry = readdir(directory));) {
		if (entry->d_name[0] == '.')
			continue;
		const int r = copy_file(path, entry->d_name, out);
		if (r != 0 && r != ENOENT)
			return r;
		if (r == 0 && write(out, "", 1) < 0)
			return errno;
	}
	return 0;
}

/* Until it has ended, or has said nothing for too long; -errno. */
static int collect(int from, GString *text)
{
	char bytes[65536];

	for (;;) {
		const int ready = poll(&(struct pollfd){from, POLLIN, 0}, 1, PATIENCE_MS);
		if (ready == 0)
			return -ETIMEDOUT;
		if (ready < 0 && errno == EINTR)
			continue;
		const ssize_t n = ready < 0 ? -1 : read(from, bytes, sizeof(bytes));
		if (n <= 0)
			return n < 0 ? -errno : 0;
		g_string_append_len(text, bytes, n);
	}
}

typedef struct {
	pid_t child;
	int from; /* -1: it could not be asked, error says why */
	int error;
} Asking;

/*
 * Children that were killed and have not ended: what a daemon has begun to answer no signal ends
 * (request_wait_answer(), fs/fuse/dev.c). While there are such, nobody is asked.
 */
static guint n_stuck;

/* The child ends with whoever asks, and has nothing of that one's that others would wait for. */
static Asking ask(Copy copy, const char *mountpoint, const char *name)
{
	int ends[2];

	while (n_stuck > 0 && waitpid(-1, NULL, WNOHANG) > 0)
		n_stuck--;
	if (n_stuck > 0)
		return (Asking){.from = -1, .error = -ETIMEDOUT};
	if (pipe2(ends, O_CLOEXEC) < 0)
		return (Asking){.from = -1, .error = -errno};
	const pid_t child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(ends[1], STDIN_FILENO);
		close_range(STDIN_FILENO + 1, ~0U, 0);
		_exit(copy(mountpoint, name, STDIN_FILENO));
	}
	const int error = child < 0 ? -errno : 0;
	close(ends[1]);
	if (child < 0)
		close(ends[0]);
	return (Asking){child, child < 0 ? -1 : ends[0], error};
}

static void end(Asking *asking)
{
	if (asking->from < 0)
		return;
	close(asking->from);
	asking->from = -1;
	kill(asking->child, SIGKILL);
	n_stuck++;
}

static int answer(Asking *asking, GString *text)
{
	int status = 0, r = asking->from < 0 ? asking->error : collect(asking->from, text);

	/* It has said all, so it ends by itself. */
	if (r == 0) {
		while (waitpid(asking->child, &status, 0) < 0 && errno == EINTR)
			;
		close(asking->from);
		asking->from = -1;
		if (WIFEXITED(status))
			r = -WEXITSTATUS(status);
	}
	end(asking);
	return r;
}

static int read_mounted(Copy copy, const char *mountpoint, const char *name, GString *text)
{
	Asking asking = ask(copy, mountpoint, name);

	return answer(&asking, text);
}

static void past_free(gpointer data)
{
	MountedPast *past = data;

	g_free(past->creator);
	g_free(past->command);
	g_free(past->end);
	g_free(past);
}

static char *name_of_segment(uint64_t ns, int64_t shmid, int64_t creator)
{
	return g_strdup_printf("%" PRIu64 " %" PRId64 " %" PRId64, ns, shmid, creator);
}

static char *name_of_file(const char *device, uint64_t inode)
{
	return g_strdup_printf("%s %" PRIu64, device, inode);
}

static int64_t number_of(JsonObject *object, const char *member)
{
	return json_object_get_int_member_with_default(object, member, 0);
}

static const char *text_of(JsonObject *object, const char *member)
{
	return json_object_get_string_member_with_default(object, member, NULL);
}

static void take_segment(JsonArray *array, guint index, JsonNode *node, gpointer data)
{
	Mounted *mounted = data;

	if (!JSON_NODE_HOLDS_OBJECT(node))
		return;
	JsonObject *segment = json_node_get_object(node);
	const char *end = text_of(segment, "creator_end"), *device = text_of(segment, "device");
	g_autofree char *name =
		device ? name_of_file(device, number_of(segment, "inode"))
		       : name_of_segment(number_of(segment, "namespace"),
					 number_of(segment, "shmid"), number_of(segment, "cpid"));
	/* The mount that was asked first is right. */
	if (g_hash_table_contains(mounted->pasts, name))
		return;
	const int64_t ended = number_of(segment, "creator_ended");
	g_autoptr(GDateTime) when = ended ? g_date_time_new_from_unix_local(ended) : NULL;
	g_autofree char *date = when ? g_date_time_format(when, "%Y-%m-%d %H:%M:%S") : NULL;
	MountedPast *past = g_new0(MountedPast, 1);
	past->creator = g_strdup(text_of(segment, "creator"));
	past->command = g_strdup(text_of(segment, "creator_command"));
	if (end)
		past->end = g_strdup_printf("%s%s%s", end, date ? ", " : "", date ? date : "");
	g_hash_table_insert(mounted->pasts, g_steal_pointer(&name), past);
}

static bool take_answer(Mounted *mounted, Asking *asking)
{
	g_autoptr(GString) text = g_string_new(NULL);
	g_autoptr(JsonParser) parser = json_parser_new();

	if (answer(asking, text) < 0 ||
	    !json_parser_load_from_data(parser, text->str, text->len, NULL))
		return false;
	JsonNode *root = json_parser_get_root(parser);
	if (!root || !JSON_NODE_HOLDS_OBJECT(root))
		return false;
	JsonNode *segments = json_object_get_member(json_node_get_object(root), "segments");
	if (!segments || !JSON_NODE_HOLDS_ARRAY(segments))
		return false;
	json_array_foreach_element(json_node_get_array(segments), take_segment, mounted);
	return true;
}

Mounted *mounted_ask(void)
{
	g_autoptr(GPtrArray) mounts = find_mounts();
	Mounted *mounted = g_new0(Mounted, 1);

	mounted->asked = g_array_new(false, false, sizeof(Asking));
	mounted->pasts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, past_free);
	for (guint i = 0; i < mounts->len; i++) {
		const Asking asking = ask(copy_file, mounts->pdata[i], "segments.json");
		g_array_append_val(mounted->asked, asking);
	}
	return mounted;
}

bool mounted_read(Mounted *mounted)
{
	bool any = false;

	for (guint i = 0; i < mounted->asked->len; i++)
		any |= take_answer(mounted, &g_array_index(mounted->asked, Asking, i));
	return any;
}

void mounted_free(Mounted *mounted)
{
	for (guint i = 0; i < mounted->asked->len; i++)
		end(&g_array_index(mounted->asked, Asking, i));
	g_array_unref(mounted->asked);
	g_hash_table_unref(mounted->pasts);
	g_free(mounted);
}

const MountedPast *mounted_past(const Mounted *mounted, const SegfsItem *item)
{
	g_autofree char *name = NULL;

	if (!mounted)
		return NULL;
	if (item->id.kind == SEGFS_SYSV) {
		name = name_of_segment(item->id.domain, item->sysv.shmid, item->sysv.cpid);
	} else {
		g_autofree char *device =
			g_strdup_printf("%u:%u", major(item->id.domain), minor(item->id.domain));
		name = name_of_file(device, item->id.number);
	}
	return g_hash_table_lookup(mounted->pasts, name);
}

/* The name's text of the first mount that lets us read it. */
static gboolean read_any(Copy copy, const char *name, GString *text, GError **error)
{
	g_autoptr(GPtrArray) mounts = find_mounts();
	int r = 0;

	for (guint i = 0; i < mounts->len; i++) {
		r = read_mounted(copy, mounts->pdata[i], name, text);
		if (r == 0)
			return TRUE;
		g_string_truncate(text, 0);
	}
	if (mounts->len == 0)
		g_set_error(error, SEGLS_ERROR, 0,
			    "no mount of segfs, whose daemon would remember: root mounts one by "
			    "segfs DIR");
	else
		g_set_error(error, SEGLS_ERROR, 0, "%s/%s: %s%s",
			    (char *)mounts->pdata[mounts->len - 1], name, g_strerror(-r),
			    r == -EACCES ? "; root may read it" : "");
	return FALSE;
}

gboolean mounted_events(GString *text, GError **error)
{
	g_autoptr(GString) now = g_string_new(NULL);

	/* In this order a line that moves from one to the other in between is lost, not twice. */
	if (!read_any(copy_file, "events.1", text, error) ||
	    !read_any(copy_file, "events", now, error))
		return FALSE;
	g_string_append_len(text, now->str, now->len);
	return TRUE;
}

static const struct {
	const char *name, *key;
	OutputKind kind;
} gone_columns[] = {
	{"FILE", "File", OUTPUT_FILE},
	{"SIZE", "Size", OUTPUT_NUMBER},
	{"CREATOR", "Creator", OUTPUT_TEXT},
	{"COMMAND", "CreatorCommand", OUTPUT_LONG_TEXT},
	{"ENDED", "CreatorEnd", OUTPUT_LONG_TEXT},
	{"REMOVED", "Removed", OUTPUT_TEXT},
	{"REMOVER", "RemovedBy", OUTPUT_LONG_TEXT},
};

/* The value of a line "Key:\tvalue"; NULL: there is none. */
static char *value_of(char *const *lines, const char *key)
{
	const size_t length = strlen(key);

	for (; *lines; lines++)
		if (g_str_has_prefix(*lines, key) && (*lines)[length] == ':' &&
		    (*lines)[length + 1] == '\t')
			return *lines + length + 2;
	return NULL;
}

gboolean mounted_gone(OutputFormat format, bool headings, GString *text, GError **error)
{
	g_autoptr(GString) all = g_string_new(NULL);
	g_autoptr(Output) output = output_new("gone", format, headings);

	if (!read_any(copy_directory, "gone", all, error))
		return FALSE;
	for (guint i = 0; i < G_N_ELEMENTS(gone_columns); i++)
		output_column(output, gone_columns[i].name, gone_columns[i].kind);
	for (const char *at = all->str; at < all->str + all->len; at += strlen(at) + 1) {
		g_auto(GStrv) lines = g_strsplit(at, "\n", -1);
		OutputLine *line = output_line(output, NULL);
		for (guint i = 0; i < G_N_ELEMENTS(gone_columns); i++) {
			char *value = value_of(lines, gone_columns[i].key);
			/* "4096 bytes" */
			if (value && gone_columns[i].kind == OUTPUT_NUMBER)
				value[strspn(value, "0123456789")] = '\0';
			output_cell(output, line, i, value ? value : OUTPUT_NOTHING);
		}
	}
	output_print(output, text);
	return TRUE;
}
