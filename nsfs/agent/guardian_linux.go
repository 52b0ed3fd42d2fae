//go:build amd64 || arm64

package agent

import (
	"encoding/binary"
	"math"

	"golang.org/x/sys/unix"
)

// shared is what all agents of a crew use.
type shared struct {
	self   [8]byte
	comm   [8]byte
	buf    [8]byte
	sigign [4]uint64 // struct kernel_sigaction
	nofile [2]uint64 // struct rlimit64
	args   [88]byte  // struct clone_args
	exit   op
	hold   op
	group  op    // the first agent's: lead a process group
	follow [3]op // and end with the guardian
	boot   [6]op // the guardian's, and so on
	fork   op
	read   op
	kill   [3]op
}

// The guardian's descriptors at its start.
const (
	fdArena = 3
	fdLife  = 4
	fdProc  = 5
)

// prepare writes the records of the guardian and of the first agent's birth.
func (c *Crew) prepare(files int) error {
	// The executable begins at the start of the arena.
	first, err := c.arena.alloc(opSize)
	if err != nil {
		return err
	}
	off, err := c.arena.alloc(sharedSize)
	if err != nil {
		return err
	}
	c.shared = c.arena.sharedAt(off)
	copy(c.shared.self[:], "self")
	if c.guardian, err = c.newAgent(); err != nil {
		return err
	}
	c.guardian.slot.finish.then(addrOf(c.arena, &c.shared.read))
	c.guardian.slot.state.Store(idle)
	if c.root, err = c.newAgent(); err != nil {
		return err
	}
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return err
	}
	c.shared.nofile = [2]uint64{lim.Max, lim.Max}
	c.first = c.arena.opAt(first)
	c.prepareBirth(files)
	c.prepareLife()
	c.prepareEnds()
	return nil
}

// prepareBirth writes what the guardian does from its first record on, up to the
// fork of the first agent.
func (c *Crew) prepareBirth(files int) {
	s, ar := c.shared, c.arena
	s.sigign[0] = 1           // SIG_IGN
	copy(s.comm[:], "renest") // executed by descriptor, it would be called by that
	binary.NativeEndian.PutUint64(s.args[0:], unix.CLONE_FILES)
	binary.NativeEndian.PutUint64(s.args[32:], uint64(unix.SIGCHLD))

	boot := []*op{c.first, &s.boot[0], &s.boot[1], &s.boot[2], &s.boot[3], &s.boot[4], &s.boot[5], &s.fork, &s.read}
	ar.set(boot[0], unix.SYS_RT_SIGACTION, uint64(unix.SIGCHLD), addrOf(ar, &s.sigign), 0, 8)
	ar.set(boot[1], unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, addrOf(ar, &s.nofile), 0)
	ar.set(boot[2], unix.SYS_PRCTL, unix.PR_SET_CHILD_SUBREAPER, 1)
	ar.set(boot[3], unix.SYS_CLOSE, fdArena)
	// What the maker itself inherited may not be close-on-exec.
	ar.set(boot[4], unix.SYS_CLOSE_RANGE, uint64(FirstFile+files), math.MaxUint32, 0)
	ar.set(boot[5], unix.SYS_PRCTL, unix.PR_SET_NAME, addrOf(ar, &s.comm))
	ar.set(boot[6], unix.SYS_GETPID)
	ar.set(boot[7], unix.SYS_CLONE3, addrOf(ar, &s.args), uint64(len(s.args)))
	for i, o := range boot[:len(boot)-1] {
		o.then(addrOf(ar, boot[i+1]))
	}
	s.fork.neg = addrOf(ar, &s.exit)
	s.fork.zero = addrOf(ar, &s.group)
	ar.set(&s.group, unix.SYS_SETPGID, 0, 0)
	s.group.then(addrOf(ar, &s.follow[0]))
	c.prepareFollowing(boot[6])
}

// prepareFollowing writes how the first agent comes to end with its guardian, where
// that is killed: before it makes others, the two leave nothing. Where that had
// happened already, its parent is another by now than the process whose number pid
// got: to compare two words is all that this operation of futex(2) is to do.
func (c *Crew) prepareFollowing(pid *op) {
	s, ar := c.shared, c.arena
	ar.set(&s.follow[0], unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uint64(unix.SIGKILL))
	ar.set(&s.follow[1], unix.SYS_GETPPID)
	ar.set(&s.follow[2], unix.SYS_FUTEX, addrOf(ar, &pid.ret), futexCmpRequeue, 0, 0, addrOf(ar, &s.follow[1].ret))
	s.follow[2].arg[5] = addrOf(ar, &s.follow[1].ret)
	s.follow[0].then(addrOf(ar, &s.follow[1]))
	s.follow[1].then(addrOf(ar, &s.follow[2]))
	s.follow[2].then(addrOf(ar, &s.exit))
	s.follow[2].zero = c.root.bootAddr()
}

// prepareLife writes what the guardian does from then on. A byte on its pipe is
// work. End of file is the end of the maker: undo what was left to undo, and go
// on to kill. An error is neither.
func (c *Crew) prepareLife() {
	s, ar := c.shared, c.arena
	ar.set(&s.read, unix.SYS_READ, fdLife, addrOf(ar, &s.buf), 1)
	s.read.neg, s.read.zero, s.read.pos = addrOf(ar, &s.read), addrOf(ar, &s.kill[0]), addrOf(ar, &c.guardian.slot.wait)

	// The first agent, its process group, and then wait for all of that group:
	// since children are ignored (SIGCHLD), wait4 returns when the last is gone
	// (ECHILD), and the orphans of the crew are children of the guardian, its
	// subreaper. What a command left behind is in a session of its own.
	ar.set(&s.kill[0], unix.SYS_KILL, 0, uint64(unix.SIGKILL))
	s.kill[0].arg[0] = addrOf(ar, &s.fork.ret)
	ar.set(&s.kill[1], unix.SYS_KILL, 0, uint64(unix.SIGKILL))
	ar.set(&s.kill[2], unix.SYS_WAIT4, math.MaxUint64, 0, 0, 0)
	s.kill[0].then(addrOf(ar, &s.kill[1]))
	s.kill[1].then(addrOf(ar, &s.kill[2]))
	s.kill[2].then(addrOf(ar, &s.exit))
}

// prepareEnds writes the ways in which an agent ends.
func (c *Crew) prepareEnds() {
	s, ar := c.shared, c.arena
	ar.set(&s.exit, unix.SYS_EXIT_GROUP, 0)
	s.exit.then(addrOf(ar, &s.exit))
	s.hold.nr = -1
}
