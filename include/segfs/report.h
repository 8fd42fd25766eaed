/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <segfs/caller.h>
#include <segfs/container.h>
#include <segfs/history.h>
#include <segfs/limits.h>
#include <segfs/resource.h>
#include <segfs/survey.h>
#include <stdbool.h>

/*
 * Surveys as JSON, for scripts: the file segments.json of a mount, whose format is in
 * doc/segments.json.md, and what of a survey may be shown to whom.
 */

/*
 * May the caller know what the process holds? Where the kernel would let it read
 * what /proc/PID/maps and fd tell (proc(5)), which is asked as the caller. True for a caller of
 * NULL; false where the process has ended.
 */
bool segfs_holder_is_visible(const char *proc_root, const SegfsCaller *caller,
			     const SegfsProcess *process);

/*
 * May the caller know what the process is called? Where the kernel would let it read
 * /proc/PID/comm (proc(5), hidepid), which is asked as the caller. Of a process that has ended,
 * or whose start is 0: where the caller is its user, or could see another's. True for a caller
 * of NULL.
 */
bool segfs_command_is_visible(const char *proc_root, const SegfsCaller *caller,
			      const SegfsProcess *process);

/* The same of the creator that history knows. Of one that has not been read nothing is. */
bool segfs_past_is_visible(const char *proc_root, const SegfsCaller *caller, const SegfsPast *past);
/* The same of who has detached it last, where that is known. */
bool segfs_last_holder_is_visible(const char *proc_root, const SegfsCaller *caller,
				  const SegfsPast *past);
/*
 * May the caller know how its creator has made it? Who may look into that process (ptrace(2)); of
 * one that has ended its user, where that could have. False where it is not known. Cannot fail.
 */
bool segfs_past_stack_is_visible(const char *proc_root, const SegfsCaller *caller,
				 const SegfsPast *past);

/*
 * Which processes a scan could not examine, and why, the first few: "4711 sshd (Permission denied),
 * 4712 cron (Permission denied) and 3 more". What caller may not know the name of has none; the
 * calling function's to free.
 */
char *segfs_unexamined_text(const char *proc_root, const SegfsCaller *caller,
			    const SegfsScan *scan);

/*
 * The command of the segment's creator, for the calling function to free. NULL: it is not known, or
 * the caller may not know: see segfs_command_is_visible().
 */
char *segfs_sysv_creator_shown(SegfsIpc *ipc, const SegfsCaller *caller, const SegfsSysv *segment);

/*
 * The item's evidence in words, for the caller (NULL: for anybody), to whom n_hidden of its holders
 * are not visible: where there are some, it says only how many. Other processes are named
 * where the caller may see them, which is asked as the caller, below proc_root. The calling
 * function frees it.
 */
char *segfs_item_evidence(const char *proc_root, const SegfsCaller *caller, const SegfsItem *item,
			  guint n_hidden);

/*
 * May the caller list the directory in which the object is? True for what is in none, and for a
 * caller of NULL. What is learnt of directories goes into known, a new table of
 * segfs_directories_known_new(), so that each is asked once for that caller.
 */
bool segfs_item_is_visible(const SegfsCaller *caller, const SegfsItem *item, GHashTable *known);

/*
 * Would the kernel let the caller remove what has a name? Of a segment its owner, its creator's
 * user and who has CAP_SYS_ADMIN (shmctl(2)); of an object who may write to its directory, and
 * where that is sticky owns one of the two or has CAP_FOWNER (unlink(2)). Only for what is listed:
 * when it is removed, the kernel decides. True for a caller of NULL. known: the same table.
 */
bool segfs_item_is_removable(const SegfsCaller *caller, const SegfsItem *item, GHashTable *known);

/* An empty one, for one caller; g_hash_table_unref() frees it. Cannot fail. */
GHashTable *segfs_directories_known_new(void);

/*
 * May the caller find the object by its name, for which no directory has to be listed? It is looked
 * up as the caller (openat2(2)). True for what is in no directory, and for a caller of NULL.
 */
bool segfs_item_is_found(const SegfsCaller *caller, const SegfsItem *item);

/* The name of a user (getpwuid_r(3)), the caller's to free. NULL: there is none. */
char *segfs_user_name(uid_t uid);

/* The name of a group (getgrgid_r(3)), the caller's to free. NULL: there is none. */
char *segfs_group_name(gid_t gid);

/*
 * Why a set's or queue's verdict is what it is, in words for the caller (NULL: for anybody): who
 * did the last operations, whose programs are named where the caller may know them. The calling
 * function's to free.
 */
char *segfs_resource_evidence(const char *proc_root, const SegfsCaller *caller,
			      const SegfsResourceUse *use);

/* One of those: "4711 server", "4711, which has ended". The calling function's to free. */
char *segfs_resource_user_text(const char *proc_root, const SegfsCaller *caller,
			       const SegfsResourceUser *user);

/* One report, of one or more IPC namespaces. Not to be used from two threads at once. */
typedef struct SegfsReport SegfsReport;

/*
 * An empty one of what caller, which must outlive it, may see; NULL: everything. scan: what it
 * could not examine below proc_root is said, too. Free with segfs_report_free(). Cannot fail.
 */
SegfsReport *segfs_report_new(const SegfsCaller *caller, const char *proc_root, SegfsScan *scan);
/* Frees it. Cannot fail. */
void segfs_report_free(SegfsReport *report);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SegfsReport, segfs_report_free)

/*
 * Adds one namespace, that of ipc: its limits (NULL: not known), its containers (SegfsContainer;
 * NULL: none), and items of SegfsItem, as from segfs_view_survey(), which could not read n_unread
 * directories. What was added with an earlier one, such as a /dev/shm that both see, is left out.
 * What cannot be read is null in the report; cannot fail.
 */
void segfs_report_add(SegfsReport *report, SegfsIpc *ipc, const SegfsLimits *limits,
		      const GArray *containers, const GPtrArray *items, guint n_unread);

/*
 * Adds the semaphore sets and message queues of the namespace of ipc, and who uses them; none where
 * it has gone. history, orphan_age: see segfs_history_judge(). -EINTR: nobody wants it any more.
 */
int segfs_report_add_resources(SegfsReport *report, SegfsIpc *ipc, SegfsHistory *history,
			       int64_t orphan_age);

/*
 * Adds what is gone lately, of all namespaces, once, for a caller who may read all of history; ipc
 * is the namespace whose segments that are no more are seen to be gone now. Where it is not added,
 * or history is NULL, "gone" is null. Cannot fail.
 */
void segfs_report_add_gone(SegfsReport *report, SegfsIpc *ipc, SegfsHistory *history);

/* Appends the JSON of all that was added to text, UTF-8, one line for each segment. Cannot fail. */
void segfs_report_write(const SegfsReport *report, GString *text);

/* Takes a piece of text, and truncates it to nothing. */
typedef void (*SegfsReportSink)(GString *text, gpointer data);

/*
 * The same piece by piece, for what may be long: sink, with data, is given the text of segments as
 * they are added.
 */
void segfs_report_stream(SegfsReport *report, SegfsReportSink sink, gpointer data);

/* Appends what goes before those pieces, which is known only when all were added. */
void segfs_report_head(const SegfsReport *report, GString *text);

/* Appends what was not given to a sink, and the end. */
void segfs_report_tail(const SegfsReport *report, GString *text);
