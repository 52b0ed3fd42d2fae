/*
 * census reads of every task what it takes to know every namespace, its owner and
 * its parent: the links of each thread, the descriptors, the mounts of each mount
 * namespace, the id maps of each user namespace; one thread, no allocation to
 * speak of, nothing kept but which namespaces were seen. It prints their number.
 *
 * It is the floor of a dump that reads /proc.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SLOTS = 1 << 17 };
static unsigned long seen[SLOTS]; /* inode numbers, by hash */
static int count;
static char buf[1 << 16];

/* see returns whether a namespace is new. */
static int see(unsigned long ino)
{
	unsigned long i = ino * 0x9E3779B97F4A7C15UL >> 47;

	for (; seen[i]; i = (i + 1) % SLOTS)
		if (seen[i] == ino)
			return 0;
	seen[i] = ino;
	count++;
	return 1;
}

static void slurp(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	while (read(fd, buf, sizeof(buf)) > 0)
		;
	close(fd);
}

/* climb asks for owners and parents until one is known. */
static void climb(int fd)
{
	static const unsigned long up[] = { NS_GET_USERNS, NS_GET_PARENT };
	struct stat st;

	for (int i = 0; i < 2; i++) {
		int next = ioctl(fd, up[i]);

		if (next < 0)
			continue;
		if (fstat(next, &st) == 0 && see(st.st_ino))
			climb(next);
		close(next);
	}
}

static void links(int task)
{
	static const char *const names[] = {
		"ns/user", "ns/mnt", "ns/uts", "ns/ipc", "ns/pid", "ns/cgroup", "ns/net", "ns/time",
		"ns/pid_for_children", "ns/time_for_children",
	};

	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
		ssize_t n = readlinkat(task, names[i], buf, sizeof(buf) - 1);
		char *bracket;
		int fd;

		if (n < 0)
			continue;
		buf[n] = 0;
		bracket = strchr(buf, '[');
		if (!bracket || !see(strtoul(bracket + 1, NULL, 10)))
			continue;
		fd = openat(task, names[i], O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		climb(fd);
		close(fd);
		if (i == 0) {
			slurp(task, "uid_map");
			slurp(task, "gid_map");
			slurp(task, "setgroups");
		}
		if (i == 1)
			slurp(task, "mountinfo");
	}
}

static void descriptors(int task)
{
	int fd = openat(task, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d)
		return;
	while ((e = readdir(d)))
		if (e->d_name[0] != '.' && readlinkat(dirfd(d), e->d_name, buf, sizeof(buf)) < 0)
			continue;
	closedir(d);
}

static void threads(int proc)
{
	int fd = openat(proc, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d)
		return;
	while ((e = readdir(d))) {
		int task;

		if (e->d_name[0] == '.')
			continue;
		task = openat(dirfd(d), e->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (task < 0)
			continue;
		slurp(task, "status");
		links(task);
		close(task);
	}
	closedir(d);
}

int main(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;

	if (!proc)
		err(1, "/proc");
	while ((e = readdir(proc))) {
		int fd;

		if (e->d_name[0] < '0' || e->d_name[0] > '9')
			continue;
		fd = openat(dirfd(proc), e->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			continue;
		threads(fd);
		descriptors(fd);
		close(fd);
	}
	printf("%d\n", count);
	return 0;
}
