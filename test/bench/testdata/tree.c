/*
 * tree FLAGS PARENT... makes one process for each PARENT by clone3(2), with the
 * namespaces FLAGS (a number, CLONE_NEW*, user and pid among them): a child of the
 * process with that number, of tree itself where it is -1. A parent writes the id
 * maps of its children. It prints "ready PID" and stays until its input ends.
 *
 * It is the floor of a restore of such a tree: each process goes to work as soon as
 * its maps are written, and none waits for more than that.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct clone_args args = { .exit_signal = SIGCHLD };
static int n, self = -1, proc;
static int *first, *next; /* children of each, and of tree itself at n */
static unsigned *mapped;  /* shared: whose maps are written; at n, how many are there */

static void await(unsigned *word, unsigned want)
{
	unsigned v;

	while ((v = __atomic_load_n(word, __ATOMIC_ACQUIRE)) < want)
		syscall(SYS_futex, word, FUTEX_WAIT, v, NULL, NULL, 0);
}

static void wake(unsigned *word)
{
	__atomic_add_fetch(word, 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, word, FUTEX_WAKE, 1 << 30, NULL, NULL, 0);
}

/* write_map writes a map through the directory of a child, whose number is its own
 * only where the procfs is of the same pid namespace: pidfds tell. */
static void write_map(int dir, const char *name, const char *map)
{
	int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, map, strlen(map)) < 0)
		err(1, "%s", name);
	close(fd);
}

static int directory(int pidfd)
{
	char path[64], line[256];
	int pid = 0;
	FILE *f;

	snprintf(path, sizeof(path), "self/fdinfo/%d", pidfd);
	f = fdopen(openat(proc, path, O_RDONLY | O_CLOEXEC), "r");
	if (!f)
		err(1, "fdinfo");
	while (fgets(line, sizeof(line), f))
		sscanf(line, "Pid: %d", &pid);
	fclose(f);
	snprintf(path, sizeof(path), "%d", pid);
	return openat(proc, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* act makes a process fit to act in its new user namespace. */
static void act(void)
{
	if (setresgid(0, 0, 0) || setresuid(0, 0, 0) || prctl(PR_SET_DUMPABLE, 1))
		err(1, "setresuid");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void children(void)
{
	for (int i = first[self < 0 ? n : self]; i >= 0; i = next[i]) {
		int pidfd, dir;
		pid_t pid;

		args.flags |= CLONE_PIDFD;
		args.pidfd = (__u64)(unsigned long)&pidfd;
		pid = syscall(SYS_clone3, &args, sizeof(args));
		if (pid < 0)
			err(1, "clone3 of %d", i);
		if (pid == 0) {
			self = i;
			await(&mapped[i], 1);
			act();
			children();
			wake(&mapped[n]);
			for (;;)
				pause();
		}
		dir = directory(pidfd);
		write_map(dir, "uid_map", self < 0 ? "0 100000 65536\n" : "0 0 65536\n");
		write_map(dir, "gid_map", self < 0 ? "0 100000 65536\n" : "0 0 65536\n");
		close(dir);
		close(pidfd);
		wake(&mapped[i]);
	}
}

int main(int argc, char **argv)
{
	int *last;
	char c;

	n = argc - 2;
	if (n <= 0)
		errx(2, "usage: tree FLAGS PARENT...");
	args.flags = strtoul(argv[1], NULL, 0);
	first = calloc(n + 1, sizeof(*first));
	next = calloc(n + 1, sizeof(*next));
	last = calloc(n + 1, sizeof(*last));
	mapped = mmap(NULL, (n + 1) * sizeof(*mapped), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (!first || !next || !last || mapped == MAP_FAILED || proc < 0)
		err(1, "memory");
	for (int i = 0; i <= n; i++)
		first[i] = next[i] = last[i] = -1;
	for (int i = 0; i < n; i++) {
		int p = atoi(argv[i + 2]);

		if (p >= i)
			errx(2, "%d is made before its parent %d", i, p);
		if (p < 0)
			p = n;
		if (last[p] < 0)
			first[p] = i;
		else
			next[last[p]] = i;
		last[p] = i;
	}
	children();
	await(&mapped[n], n);
	printf("ready %d\n", getpid());
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
	kill(0, SIGKILL); /* the whole group, which is its own */
	return 0;
}
