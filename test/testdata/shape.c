/*
 * shape TOKEN... makes a tree of processes in namespaces, each of one thread and a
 * few pages, for CRIU to dump. A process carries out its tokens in order:
 *
 *   net mnt uts ipc cgroup     unshare(2); mnt makes its mounts private
 *   pid time                   the same, which is for the children
 *   user=INSIDE:OUTSIDE:COUNT  a new user namespace, and be its root if it has one
 *   deny=INSIDE:OUTSIDE:COUNT  the same, where setgroups(2) is denied
 *   euid=UID                   be that user, with all capabilities
 *   group=GID, group=GID-GID   have that supplementary group alone, or those from … to
 *   (  ...  )                  a child, which carries out what is inside
 *   fs                         the next child shares root, working directory and umask
 *   join=TYPE                  enter that namespace of the last child
 *   own=TYPE                   keep a descriptor of one's own namespace
 *   hold=TYPE                  keep a descriptor of the last child's
 *   bind=TYPE:FILE             bind the last child's namespace to a new file
 *   kill                       kill the last child and reap it
 *   drop                       kill the child before the last, and reap it
 *   zombie                     kill the last child, and do not reap it
 *   thread=TYPE                a thread in a new namespace of its own
 *   pivot=DIR                  make DIR, with a new procfs at DIR/proc, the root of one's
 *                              mount namespace, and go on as DIR/shape: no file of the
 *                              old root stays open. DIR/null becomes standard input,
 *                              output and error.
 *   sid                        be the leader of a session
 *   name=NAME                  print "NAME PID", PID as /proc numbers it: before pivot
 *   reap                       from now on reap children whenever they end
 *   leave                      end, once the tokens are done
 *
 * When all is made it prints "ready", and ends all at the end of its input.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct { const char *name; int flag; } types[] = {
	{ "user", CLONE_NEWUSER }, { "mnt", CLONE_NEWNS }, { "uts", CLONE_NEWUTS },
	{ "ipc", CLONE_NEWIPC }, { "pid", CLONE_NEWPID }, { "cgroup", CLONE_NEWCGROUP },
	{ "net", CLONE_NEWNET }, { "time", CLONE_NEWTIME },
};

/* The last child and the one before it: of a child, at its start its parent's. */
static pid_t last, before;
/* What tells the parent that a process is ready: it ends when that closes it. */
static int done = -1;
/* Where names go, and what ends all. They are not among the descriptors that stay. */
static int names = -1, in = -1;

static int flag_of(const char *name)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (!strcmp(name, types[i].name))
			return types[i].flag;
	return 0;
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		err(1, "%s", path);
	close(fd);
}

/* Maps are written from the parent user namespace, by a child that stays there. */
static void unshare_user(const char *map, int deny)
{
	unsigned inside, outside, count;
	int go[2], status;
	char path[64], text[64], self[32];
	ssize_t n = readlink("/proc/self", self, sizeof(self) - 1);
	pid_t writer;

	if (n < 0 || sscanf(map, "%u:%u:%u", &inside, &outside, &count) != 3 || pipe(go))
		err(1, "user=%s", map);
	self[n] = 0;
	writer = fork();
	if (writer == 0) {
		char c;

		close(go[1]);
		if (read(go[0], &c, 1) != 1)
			_exit(1);
		snprintf(text, sizeof(text), "%u %u %u\n", inside, outside, count);
		snprintf(path, sizeof(path), "/proc/%s/uid_map", self);
		write_file(path, text);
		snprintf(path, sizeof(path), "/proc/%s/setgroups", self);
		if (deny)
			write_file(path, "deny");
		snprintf(path, sizeof(path), "/proc/%s/gid_map", self);
		write_file(path, text);
		_exit(0);
	}
	if (unshare(CLONE_NEWUSER) || write(go[1], "g", 1) != 1)
		err(1, "unshare user");
	close(go[0]);
	close(go[1]);
	if (waitpid(writer, &status, 0) != writer || status)
		errx(1, "user=%s: the maps were not written", map);
	if (inside == 0 && (setresgid(0, 0, 0) || setresuid(0, 0, 0)))
		err(1, "user=%s: be root", map);
	prctl(PR_SET_DUMPABLE, 1);
}

static int apart_flag, apart_done;

static void *live_apart(void *unused)
{
	if (unshare(apart_flag))
		err(1, "unshare in a thread");
	close(apart_done);
	for (;;)
		pause();
	return unused;
}

/* The kernel takes capabilities away from whoever stops being root. */
static void be(uid_t uid)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	prctl(PR_SET_KEEPCAPS, 1);
	if (setresgid(uid, uid, uid) || setresuid(uid, uid, uid) || syscall(SYS_capget, &head, data))
		err(1, "euid=%u", uid);
	data[0].effective = data[0].permitted;
	data[1].effective = data[1].permitted;
	if (syscall(SYS_capset, &head, data))
		err(1, "euid=%u: capabilities", uid);
	prctl(PR_SET_DUMPABLE, 1);
}

static void groups(const char *arg)
{
	gid_t gids[1024], first, last;
	size_t n = 0;
	int got = sscanf(arg, "%u-%u", &first, &last);

	if (got < 1)
		errx(2, "group=%s: GID or GID-GID", arg);
	for (last = got == 2 ? last : first; first <= last && n < 1024; n++)
		gids[n] = first++;
	if (setgroups(n, gids))
		err(1, "group=%s", arg);
}

static int open_ns(pid_t pid, const char *type)
{
	char path[64];
	int fd;

	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, type);
	else
		snprintf(path, sizeof(path), "/proc/self/ns/%s", type);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

static void wait_ready(int fd)
{
	char c;

	while (read(fd, &c, 1) > 0)
		;
	close(fd);
}

static char **carry_out(char **token);

static void live(char **token)
{
	carry_out(token);
	close(names);
	dup2(0, 2); /* /dev/null */
	close(done);
	for (;;)
		pause();
}

/* The next child is to share what clone(2) calls CLONE_FS. */
static int share_fs;

/* A child carries out what is inside the brackets. */
static pid_t child(char **token)
{
	int ready[2];
	pid_t pid;

	if (pipe(ready))
		err(1, "pipe");
	pid = share_fs ? syscall(SYS_clone, CLONE_FS | SIGCHLD, 0, 0, 0, 0) : fork();
	if (pid < 0)
		err(1, "fork");
	share_fs = 0;
	if (pid == 0) {
		close(ready[0]);
		close(done);
		close(in);
		signal(SIGCHLD, SIG_DFL);
		done = ready[1];
		in = -1;
		live(token);
	}
	close(ready[1]);
	wait_ready(ready[0]);
	return pid;
}

static void bind_to(pid_t pid, char *arg)
{
	char *file = strchr(arg, ':'), path[64];

	if (!file)
		errx(2, "bind=%s: TYPE:FILE", arg);
	*file++ = 0;
	snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, arg);
	close(open(file, O_WRONLY | O_CREAT, 0644));
	if (mount(path, file, NULL, MS_BIND, NULL))
		err(1, "bind %s to %s", path, file);
}

static void apart(const char *type)
{
	int ready[2];
	pthread_t thread;

	if (pipe(ready))
		err(1, "pipe");
	apart_flag = flag_of(type);
	apart_done = ready[1];
	if (pthread_create(&thread, NULL, live_apart, NULL))
		errx(1, "no thread");
	wait_ready(ready[0]);
}

static void say(const char *name)
{
	char self[32];
	ssize_t n = readlink("/proc/self", self, sizeof(self) - 1);

	if (n < 0)
		err(1, "/proc/self");
	self[n] = 0;
	dprintf(names, "%s %s\n", name, self);
}

static void end_child(pid_t pid, int reap)
{
	siginfo_t info;

	kill(pid, SIGKILL);
	if (waitid(P_PID, pid, &info, WEXITED | (reap ? 0 : WNOWAIT)))
		err(1, "waitid");
}

static void one(char *token)
{
	char *arg = strchr(token, '=');
	int fd;

	if (arg)
		*arg++ = 0;
	if (!arg && flag_of(token)) {
		if (unshare(flag_of(token)))
			err(1, "unshare %s", token);
		if (!strcmp(token, "mnt") && mount("", "/", NULL, MS_PRIVATE | MS_REC, NULL))
			err(1, "make / private");
	} else if (!strcmp(token, "kill") || !strcmp(token, "zombie")) {
		end_child(last, !strcmp(token, "kill"));
	} else if (!strcmp(token, "drop")) {
		end_child(before, 1);
	} else if (!strcmp(token, "sid")) {
		if (setsid() < 0)
			err(1, "setsid");
	} else if (!strcmp(token, "reap")) {
		signal(SIGCHLD, SIG_IGN);
	} else if (!strcmp(token, "leave")) {
		_exit(0);
	} else if (!strcmp(token, "fs")) {
		share_fs = 1;
	} else if (!arg) {
		errx(2, "what is %s?", token);
	} else if (!strcmp(token, "user") || !strcmp(token, "deny")) {
		unshare_user(arg, !strcmp(token, "deny"));
	} else if (!strcmp(token, "euid")) {
		be(atoi(arg));
	} else if (!strcmp(token, "group")) {
		groups(arg);
	} else if (!strcmp(token, "join")) {
		fd = open_ns(last, arg);
		if (setns(fd, 0))
			err(1, "setns %s", arg);
		close(fd);
	} else if (!strcmp(token, "own")) {
		open_ns(0, arg);
	} else if (!strcmp(token, "hold")) {
		open_ns(last, arg);
	} else if (!strcmp(token, "bind")) {
		bind_to(last, arg);
	} else if (!strcmp(token, "thread")) {
		apart(arg);
	} else if (!strcmp(token, "name")) {
		say(arg);
	} else {
		errx(2, "what is %s=%s?", token, arg);
	}
}

static char **skip(char **token)
{
	for (int depth = 1; *token && depth; token++)
		depth += !strcmp(*token, "(") - !strcmp(*token, ")");
	return token;
}

/* What comes after the program's name is what it has to go on with. */
static void pivot(const char *dir, char **rest)
{
	char text[2][16];

	if (mount(dir, dir, NULL, MS_BIND, NULL) || chdir(dir) || mount("proc", "proc", "proc", 0, NULL) ||
	    syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/"))
		err(1, "pivot=%s", dir);
	snprintf(text[0], sizeof(text[0]), "%d", done);
	snprintf(text[1], sizeof(text[1]), "%d", names);
	fcntl(names, F_SETFD, 0);
	setenv("SHAPE_DONE", text[0], 1);
	setenv("SHAPE_NAMES", text[1], 1);
	execv("/shape", rest - 1);
	err(1, "execute /shape");
}

static char **carry_out(char **token)
{
	pid_t pid;

	while (*token && strcmp(*token, ")")) {
		if (!strncmp(*token, "pivot=", 6))
			pivot(*token + 6, token + 1);
		if (!strcmp(*token, "(")) {
			pid = child(token + 1);
			before = last;
			last = pid;
			token = skip(token + 1);
		} else {
			one(*token++);
		}
	}
	return token;
}

/* Whoever loses its parent becomes a child of this process, the subreaper. */
static void kill_all(void)
{
	pid_t pid;
	FILE *f;

	signal(SIGCHLD, SIG_DFL);
	do {
		f = fopen("/proc/thread-self/children", "re");
		while (f && fscanf(f, "%d", &pid) == 1)
			kill(pid, SIGKILL);
		if (f)
			fclose(f);
	} while (wait(NULL) > 0);
}

int main(int argc, char **argv)
{
	int null, status;
	pid_t outermost;
	char c;

	(void)argc;
	if (getenv("SHAPE_DONE")) {
		done = atoi(getenv("SHAPE_DONE"));
		names = atoi(getenv("SHAPE_NAMES"));
		fcntl(names, F_SETFD, FD_CLOEXEC);
		unsetenv("SHAPE_DONE");
		unsetenv("SHAPE_NAMES");
		null = open("/null", O_RDWR);
		dup2(null, 0);
		dup2(null, 1);
		close(null);
		live(argv + 1);
	}
	syscall(SYS_close_range, 3, ~0U, 0); /* of whoever started this */
	null = open("/dev/null", O_RDWR);
	/* The tree has but /dev/null and what it opens. Standard error is for errors
	 * until all is made, and then of no use, nor is the tree's. */
	in = fcntl(0, F_DUPFD_CLOEXEC, 100);
	names = fcntl(1, F_DUPFD_CLOEXEC, 100);
	dup2(null, 0);
	dup2(null, 1);
	close(null);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_CHILD_SUBREAPER, 1); /* of those whose parent leaves */
	outermost = child(argv + 1);
	if (waitpid(outermost, &status, WNOHANG) == outermost && WIFEXITED(status) && WEXITSTATUS(status))
		return 1;
	signal(SIGCHLD, SIG_IGN); /* what ends is gone, and its pid is free */
	dprintf(names, "ready\n");
	while (read(in, &c, 1) > 0)
		;
	kill_all();
	return 0;
}
