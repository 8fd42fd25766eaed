/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The directories sem/ and msg/: semaphore sets and message queues. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tree_world.h"

enum { SEMS = 3 };

/* One of each, as long as its variable, and a tree that shows them. */
typedef struct {
	World world;
	int semid, msqid;
	key_t key;
} Made;

static void made_start(Made *made)
{
	world_start(&made->world);
	do {
		made->key = g_random_int() | 1;
		made->semid = semget(made->key, SEMS, IPC_CREAT | IPC_EXCL | 0640);
	} while (made->semid < 0 && errno == EEXIST);
	g_assert_no_errno(made->semid);
	made->msqid = msgget(IPC_PRIVATE, IPC_CREAT | 0604);
	g_assert_no_errno(made->msqid);
}

static void made_clear(Made *made)
{
	semctl(made->semid, 0, IPC_RMID);
	msgctl(made->msqid, IPC_RMID, NULL);
	world_clear(&made->world);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Made, made_clear)

static struct msqid_ds queue_of(const Made *made)
{
	struct msqid_ds ds;

	g_assert_no_errno(msgctl(made->msqid, IPC_STAT, &ds));
	return ds;
}

static struct semid_ds set_of(const Made *made)
{
	struct semid_ds ds;

	g_assert_no_errno(semctl(made->semid, 0, IPC_STAT, &ds));
	return ds;
}

static void send_text(const Made *made, long type, const char *bytes, size_t size)
{
	struct {
		long type;
		char bytes[64];
	} message = {.type = type};

	memcpy(message.bytes, bytes, size);
	g_assert_no_errno(msgsnd(made->msqid, &message, size, IPC_NOWAIT));
}

static void operate(const Made *made, unsigned short num, short op)
{
	struct sembuf operation = {num, op, IPC_NOWAIT};

	g_assert_no_errno(semop(made->semid, &operation, 1));
}

static Node *node_of(Made *made, SegfsResourceKind kind)
{
	return kind == SEGFS_SEM ? world_node_of(&made->world, "sem/%d", made->semid)
				 : world_node_of(&made->world, "msg/%d", made->msqid);
}

static void both_are_listed_by_id_and_found_by_key(void)
{
	g_auto(Made) made = {};
	made_start(&made);
	g_autofree char *set = g_strdup_printf("%d", made.semid);
	g_autofree char *queue = g_strdup_printf("%d", made.msqid);

	assert_listed(&made.world, "sem", set, true);
	assert_listed(&made.world, "msg", queue, true);
	assert_listed(&made.world, "info/sem", set, true);
	assert_listed(&made.world, "info/msg", queue, true);
	g_autoptr(Node) by_id = node_of(&made, SEGFS_SEM);
	g_autoptr(Node) by_key = world_node_of(&made.world, "sem/0x%08x", (unsigned int)made.key);
	g_assert_true(by_id == by_key);
	g_autofree char *name = g_strdup_printf("0x%08x", (unsigned int)made.key);
	assert_listed(&made.world, "sem", name, false);
	assert_missing(&made.world, "sem/0x");
	assert_missing(&made.world, "sem/-1");
	assert_missing(&made.world, "sem/00");
	assert_missing(&made.world, "msg/0x00000000");
	g_autoptr(Node) node = node_of(&made, SEGFS_MSG);
	struct stat a = node_stat(by_id), b = node_stat(node);
	g_assert_cmpuint(a.st_ino, !=, b.st_ino);
	struct statvfs fs;
	g_autoptr(Node) directory = world_node(&made.world, "sem");
	g_assert_cmpint(directory->ops->statfs(directory, &fs), ==, 0);
	g_assert_cmpuint(fs.f_files - fs.f_ffree, >=, 1);
}

static void stat_is_ipc_stat(void)
{
	g_auto(Made) made = {};
	made_start(&made);
	g_autoptr(Node) set = node_of(&made, SEGFS_SEM);
	g_autoptr(Node) queue = node_of(&made, SEGFS_MSG);

	const struct semid_ds before = set_of(&made);
	struct stat st = node_stat(set);
	g_assert_cmphex(st.st_mode, ==, S_IFREG | 0640);
	g_assert_cmpuint(st.st_uid, ==, geteuid());
	g_assert_cmpint(st.st_ctime, ==, before.sem_ctime);
	g_assert_cmpint(st.st_mtime, ==, before.sem_ctime);
	g_assert_cmpint(st.st_size, ==, 0);
	operate(&made, 1, 5);
	g_assert_cmpint(node_stat(set).st_mtime, ==, set_of(&made).sem_otime);

	send_text(&made, 3, "hello", 5);
	st = node_stat(queue);
	g_assert_cmphex(st.st_mode, ==, S_IFREG | 0604);
	g_assert_cmpint(st.st_size, ==, 5);
	g_assert_cmpint(st.st_mtime, ==, queue_of(&made).msg_stime);
	g_assert_cmpint(st.st_ctime, ==, queue_of(&made).msg_ctime);
}

static void reading_shows_and_takes_nothing(void)
{
	g_auto(Made) made = {};
	made_start(&made);
	g_autoptr(Node) set = node_of(&made, SEGFS_SEM);
	g_autoptr(Node) queue = node_of(&made, SEGFS_MSG);

	operate(&made, 2, 7);
	g_autofree char *program = g_path_get_basename(g_get_prgname());
	program[MIN(strlen(program), 15)] = '\0';
	g_autofree char *wanted = g_strdup_printf("semnum\tvalue\tncount\tzcount\tpid\tprogram\n"
						  "0\t0\t0\t0\t0\t-\n1\t0\t0\t0\t0\t-\n"
						  "2\t7\t0\t0\t%d\t%s\n",
						  getpid(), program);
	g_autofree char *semaphores = node_text(set, &made.world.self);
	g_assert_cmpstr(semaphores, ==, wanted);

	send_text(&made, 3, "a\\b\n\0\377", 6);
	send_text(&made, 9, "", 0);
	const struct msqid_ds before = queue_of(&made);
	g_autoptr(File) file = node_open(queue, &made.world.self, O_RDONLY);
	g_autofree char *messages = file_bytes(file, 1000, 0);
	if (strstr(messages, "CONFIG_CHECKPOINT_RESTORE"))
		g_test_skip("a kernel without MSG_COPY");
	else
		g_assert_cmpstr(
			messages, ==,
			"msgnum\ttype\tsize\tbytes\n0\t3\t6\ta\\\\b\\n\\000\\377\n1\t9\t0\t\n");
	/* While it is open its length is the text's. */
	g_assert_cmpint(node_stat(queue).st_size, ==, (off_t)strlen(messages));
	const struct msqid_ds after = queue_of(&made);
	g_assert_cmpuint(after.msg_qnum, ==, 2);
	g_assert_cmpint(after.msg_rtime, ==, before.msg_rtime);
	g_assert_cmpint(after.msg_lrpid, ==, before.msg_lrpid);
}

static void nobody_writes_and_nothing_is_made(void)
{
	g_auto(Made) made = {};
	made_start(&made);
	g_autoptr(Node) directory = world_node(&made.world, "msg");

	g_assert_null(directory->ops->create);
	for (SegfsResourceKind kind = SEGFS_SEM; kind <= SEGFS_MSG; kind++) {
		g_autoptr(Node) node = node_of(&made, kind);
		assert_open(node, &made.world.self, O_WRONLY, -EPERM);
		assert_open(node, &made.world.self, O_RDONLY | O_TRUNC, -EPERM);
		g_assert_cmpint(node_truncate(node, &made.world.self, NULL, 0), ==, -EPERM);
		g_assert_cmpint(node->ops->access(node, &made.world.self, W_OK), ==, -EPERM);
		g_assert_cmpint(node->ops->access(node, &made.world.self, R_OK), ==, 0);
		g_assert_cmpint(node->ops->access(node, &made.world.self, X_OK), ==, -EACCES);
	}
}

static void rights_are_the_kernels(void)
{
	g_auto(Made) made = {};
	made_start(&made);
	const SegfsCaller *self = &made.world.self;

	for (SegfsResourceKind kind = SEGFS_SEM; kind <= SEGFS_MSG; kind++) {
		g_autoptr(Node) node = node_of(&made, kind);
		g_assert_cmpint(node_chmod(node, self, 0600), ==, 0);
		g_assert_cmphex(node_stat(node).st_mode, ==, S_IFREG | 0600);
		g_assert_cmpint(node_chown(node, self, geteuid(), -1), ==, 0);
		if (geteuid() != 0)
			continue;
		g_assert_cmpint(node_chmod(node, &stranger, 0666), ==, -EPERM);
		assert_open(node, &stranger, O_RDONLY, -EACCES);
		g_assert_cmpint(node->ops->access(node, &stranger, R_OK), ==, -EACCES);
		g_autoptr(Node) directory =
			world_node(&made.world, kind == SEGFS_SEM ? "sem" : "msg");
		g_autofree char *name =
			g_strdup_printf("%d", kind == SEGFS_SEM ? made.semid : made.msqid);
		g_assert_cmpint(directory->ops->remove(directory, &stranger, name, false), ==,
				-EPERM);
		g_assert_cmpint(node_chmod(node, self, 0604), ==, 0);
		g_autofree char *text = node_text(node, &stranger);
		g_assert_true(g_str_has_prefix(text, kind == SEGFS_SEM ? "semnum" : "msgnum"));
	}
	g_assert_cmpuint(queue_of(&made).msg_qbytes, >, 0);
}

static void removed_it_is_gone(void)
{
	g_auto(Made) made = {};
	made_start(&made);
	g_autoptr(Node) node = node_of(&made, SEGFS_SEM);
	g_autoptr(Node) directory = world_node(&made.world, "sem");
	g_autofree char *name = g_strdup_printf("0x%08x", (unsigned int)made.key);
	struct stat st;

	g_assert_cmpint(directory->ops->remove(directory, &made.world.self, name, true), ==,
			-ENOTDIR);
	g_assert_cmpint(directory->ops->remove(directory, &made.world.self, name, false), ==, 0);
	g_assert_cmpint(directory->ops->remove(directory, &made.world.self, name, false), ==,
			-ENOENT);
	g_assert_cmpint(node->ops->getattr(node, false, &st), ==, -ENOENT);
	g_assert_cmpint(node_chmod(node, &made.world.self, 0600), ==, -ENOENT);
	assert_open(node, &made.world.self, O_RDONLY, -ENOENT);
}

static void attributes_and_info_tell_the_rest(void)
{
	g_auto(Made) made = {};
	made_start(&made);
	g_autoptr(Node) set = node_of(&made, SEGFS_SEM);
	g_autoptr(Node) queue = node_of(&made, SEGFS_MSG);
	const SegfsCaller *self = &made.world.self;
	g_autofree char *key = g_strdup_printf("0x%08x", (unsigned int)made.key);
	g_autofree char *pid = g_strdup_printf("%d", getpid());
	int r;

	send_text(&made, 3, "hello", 5);
	operate(&made, 0, 1);
	assert_xattr(set, self, "user.segfs.key", key);
	assert_xattr(set, self, "user.segfs.nsems", "3");
	assert_xattr(queue, self, "user.segfs.qnum", "1");
	assert_xattr(queue, self, "user.segfs.cbytes", "5");
	assert_xattr(queue, self, "user.segfs.lspid", pid);
	g_assert_true(node_has_xattr(set, self, "user.segfs.otime"));
	g_assert_false(node_has_xattr(set, self, "user.segfs.qnum"));
	g_assert_null(node_xattr(set, self, "user.segfs.qnum", &r));
	g_assert_cmpint(r, ==, -ENODATA);
	g_assert_null(node_xattr(set, self, "security.selinux", &r));
	g_assert_cmpint(r, ==, -EOPNOTSUPP);
	g_assert_cmpint(set->ops->set_xattr(set, self, "user.segfs.key", "1", 1, 0), ==, -EPERM);

	g_autofree char *path = g_strdup_printf("info/sem/%d", made.semid);
	g_autofree char *text = world_text(&made.world, path);
	g_autofree char *verdict = text_value(text, "Verdict");
	g_autofree char *evidence = text_value(text, "Evidence");
	g_autofree char *sems = text_value(text, "Semaphores");
	g_assert_cmpstr(verdict, ==, "in use");
	g_assert_true(g_str_has_prefix(evidence, "the last operations are of "));
	g_assert_nonnull(strstr(evidence, pid));
	g_assert_cmpstr(sems, ==, "3");
	g_autofree char *other = g_strdup_printf("info/msg/%d", made.msqid);
	g_autofree char *more = world_text(&made.world, other);
	g_autofree char *waiting = text_value(more, "Messages");
	g_assert_cmpstr(waiting, ==, "1");
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	g_test_add_func("/tree-resource/names", both_are_listed_by_id_and_found_by_key);
	g_test_add_func("/tree-resource/stat", stat_is_ipc_stat);
	g_test_add_func("/tree-resource/read", reading_shows_and_takes_nothing);
	g_test_add_func("/tree-resource/write", nobody_writes_and_nothing_is_made);
	g_test_add_func("/tree-resource/rights", rights_are_the_kernels);
	g_test_add_func("/tree-resource/remove", removed_it_is_gone);
	g_test_add_func("/tree-resource/rest", attributes_and_info_tell_the_rest);
	return g_test_run();
}
