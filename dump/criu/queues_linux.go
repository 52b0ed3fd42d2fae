package criu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// judgeQueues refuses ipc namespaces of single tasks that have something in them: CRIU
// saves what is in that of the root task.
func (d *dumper) judgeQueues(ctx context.Context, l *Layer) (err error) {
	var list []*topology.Namespace
	for _, t := range l.Apart {
		if n := t.Namespaces[topology.InIPC]; n != l.In(topology.IPC) && !slices.Contains(list, n) {
			list = append(list, n)
		}
	}
	if len(list) == 0 {
		return nil
	}
	crew, err := startCrew(ctx, d.proc, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, crew.Close()) }()
	for _, n := range list {
		i := slices.IndexFunc(l.Apart, func(t *topology.Task) bool { return t.Namespaces[topology.InIPC] == n })
		t := l.Apart[i]
		found, err := inIPC(ctx, crew.Root(), t.PID)
		if err != nil {
			return fmt.Errorf("look into %s of %s: %w", n.Name(), who(t), err)
		}
		if found != "" {
			return fmt.Errorf("%s is in %s, where there are %s: CRIU saves those of the tree's root only (\"Can't dump nested ipc namespace for %d\")", who(t), n.Name(), found, t.PID)
		}
	}
	return nil
}

// inIPC says what is in a task's ipc namespace, "" where nothing is.
func inIPC(ctx context.Context, root *agent.Agent, pid int) (string, error) {
	a, err := root.Fork(ctx, "fork", agent.ForkOptions{})
	if err != nil {
		return "", err
	}
	var p agent.Program
	ns := p.Call("open its ipc namespace", unix.SYS_OPENAT, agent.Int(unix.AT_FDCWD), agent.String(fmt.Sprintf("/proc/%d/ns/ipc", pid)), agent.Int(unix.O_RDONLY|unix.O_CLOEXEC))
	p.Call("enter its ipc namespace", unix.SYS_SETNS, ns.Ret(), agent.Int(unix.CLONE_NEWIPC))
	p.Call("close", unix.SYS_CLOSE, ns.Ret())
	const size = 4096
	lists := map[string]*agent.Buffer{}
	for what, path := range map[string]string{"segments": "shm", "semaphores": "sem", "message queues": "msg"} {
		lists[what] = agent.NewBuffer(size)
		fd := p.Call("open "+path, unix.SYS_OPENAT, agent.Int(unix.AT_FDCWD), agent.String("/proc/sysvipc/"+path), agent.Int(unix.O_RDONLY|unix.O_CLOEXEC))
		p.Call("read "+path, unix.SYS_READ, fd.Ret(), agent.Out(lists[what]), agent.Int(size))
		p.Call("close", unix.SYS_CLOSE, fd.Ret())
	}
	posix := listQueues(&p)
	if err := errors.Join(a.Run(ctx, &p), a.Exit(ctx)); err != nil {
		return "", err
	}
	for what, b := range lists {
		if bytes.Count(b.Bytes(size), []byte("\n")) > 1 { // the first line is a heading
			return what, nil
		}
	}
	if posix.Value() > emptyFolder {
		return "POSIX message queues", nil
	}
	return "", nil
}

// emptyFolder is how long the entries are of a folder without files (getdents64(2)):
// those of itself and the one above.
const emptyFolder = 2 * 24

// listQueues adds the listing of the POSIX message queues, mq_overview(7).
func listQueues(p *agent.Program) *agent.Call {
	const what = "list message queues"
	fs := p.Call(what, unix.SYS_FSOPEN, agent.String("mqueue"), agent.Int(unix.FSOPEN_CLOEXEC))
	p.Call(what, unix.SYS_FSCONFIG, fs.Ret(), agent.Int(unix.FSCONFIG_CMD_CREATE), agent.Int(0), agent.Int(0), agent.Int(0))
	mount := p.Call(what, unix.SYS_FSMOUNT, fs.Ret(), agent.Int(unix.FSMOUNT_CLOEXEC), agent.Int(0))
	dir := p.Call(what, unix.SYS_OPENAT, mount.Ret(), agent.String("."), agent.Int(unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC))
	list := p.Call(what, unix.SYS_GETDENTS64, dir.Ret(), agent.Out(agent.NewBuffer(4096)), agent.Int(4096))
	for _, fd := range []*agent.Call{dir, mount, fs} {
		p.Call("close", unix.SYS_CLOSE, fd.Ret())
	}
	return list
}
