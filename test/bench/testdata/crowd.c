/*
 * crowd N makes N processes by clone3(2), each the first in a user, pid, UTS, IPC
 * and mount namespace of its own, and writes their id maps. It prints "ready PID"
 * and stays until its input ends. Then it kills them: one that has not yet run would
 * not notice that its parent has gone.
 *
 * It is the floor of a restore, and the crowd that a dump has to count.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void write_map(pid_t pid, const char *name)
{
	static const char map[] = "0 100000 65536\n";
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, map, sizeof(map) - 1) < 0)
		err(1, "%s", path);
	close(fd);
}

int main(int argc, char **argv)
{
	struct clone_args args = {
		.flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNS,
		.exit_signal = SIGCHLD,
	};
	int n = argc == 2 ? atoi(argv[1]) : 0;
	pid_t *pids;
	char c;

	if (n <= 0)
		errx(2, "usage: crowd N");
	pids = calloc(n, sizeof(*pids));
	if (!pids)
		err(1, "memory");
	for (int i = 0; i < n; i++) {
		pid_t pid = syscall(SYS_clone3, &args, sizeof(args));

		if (pid < 0)
			err(1, "clone3");
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (;;)
				pause();
		}
		pids[i] = pid;
		write_map(pid, "uid_map");
		write_map(pid, "gid_map");
	}
	printf("ready %d\n", getpid());
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
	for (int i = 0; i < n; i++)
		kill(pids[i], SIGKILL);
	for (int i = 0; i < n; i++)
		waitpid(pids[i], NULL, 0);
	return 0;
}
