/*
 * climb COUNT PID NS: what may PID do to what the namespace at path NS governs?
 * Asked COUNT times over, each time anew; prints the capabilities and the
 * nanoseconds of the processor that it took. The rules are those of cap_capable, the descriptors
 * those that one has to climb: this is a floor, not a program to rely on.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static unsigned long user_of(int dir)
{
	char link[64];
	ssize_t n = readlinkat(dir, "ns/user", link, sizeof(link) - 1);

	if (n < 0)
		die("readlink ns/user");
	link[n] = 0;
	return strtoul(link + strlen("user:["), NULL, 10);
}

static const char *line(const char *status, const char *key)
{
	const char *p = strstr(status, key);

	if (!p)
		die(key);
	return p + strlen(key);
}

static uint64_t ask(const char *task, const char *path)
{
	char status[4096], *end;
	unsigned long user;
	uint64_t effective;
	uid_t euid, owner;
	struct stat st;
	int dir, fd, ns, type;
	ssize_t n;

	dir = open(task, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		die(task);
	ns = open(path, O_RDONLY | O_CLOEXEC);
	if (ns < 0)
		die(path);
	user = user_of(dir);
	fd = openat(dir, "status", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || (n = read(fd, status, sizeof(status) - 1)) < 0)
		die("status");
	close(fd);
	status[n] = 0;
	strtoul(line(status, "\nUid:\t"), &end, 10);
	euid = strtoul(end, NULL, 10);
	effective = strtoull(line(status, "\nCapEff:\t"), NULL, 16);

	type = ioctl(ns, NS_GET_NSTYPE);
	if (type < 0)
		die("NS_GET_NSTYPE");
	if (type != CLONE_NEWUSER) {
		fd = ioctl(ns, NS_GET_USERNS);
		if (fd < 0)
			die("NS_GET_USERNS");
		close(ns);
		ns = fd;
	}
	for (;;) {
		if (fstat(ns, &st) < 0)
			die("fstat");
		if (st.st_ino == user)
			break;
		if (ioctl(ns, NS_GET_OWNER_UID, &owner) < 0)
			die("NS_GET_OWNER_UID");
		fd = ioctl(ns, NS_GET_USERNS);
		close(ns);
		ns = fd;
		if (ns < 0) {
			effective = 0;
			break;
		}
		if (fstat(ns, &st) < 0)
			die("fstat");
		if (st.st_ino == user && owner == euid) {
			effective = ~0ULL;
			break;
		}
	}
	if (ns >= 0)
		close(ns);
	if (user_of(dir) != user)
		die("moved");
	close(dir);
	return effective;
}

int main(int argc, char **argv)
{
	struct timespec a, b;
	uint64_t held = 0;
	char task[32];
	long i, count;

	if (argc != 4)
		return 2;
	count = atol(argv[1]);
	snprintf(task, sizeof(task), "/proc/%s", argv[2]);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	for (i = 0; i < count; i++)
		held = ask(task, argv[3]);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	printf("%llx %lld\n", (unsigned long long)held,
	       (b.tv_sec - a.tv_sec) * 1000000000LL + b.tv_nsec - a.tv_nsec);
	return 0;
}
