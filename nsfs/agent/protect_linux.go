//go:build amd64 || arm64

package agent

import (
	"context"

	"golang.org/x/sys/unix"
)

// Protect keeps the agent, and those that it forks from then on, from being traced
// by processes of the namespaces that they enter: who has every capability in a user
// namespace may trace what is in it (ptrace_may_access, kernel/ptrace.c), and the
// memory of an agent is that of its crew, with all of its maker's rights. What is not
// dumpable takes the rights of whoever executed it.
//
// It has to be done before an agent enters what others are in. Its files in /proc
// are then root's, so that an ordinary user cannot write its id maps.
func (a *Agent) Protect(ctx context.Context) error {
	var p Program
	p.protect()
	return a.Run(ctx, &p)
}

func (p *Program) protect() {
	p.Call("prctl PR_SET_DUMPABLE", unix.SYS_PRCTL, Int(unix.PR_SET_DUMPABLE), Int(0))
}

// Expose is the opposite of [Agent.Protect]: the agent's files in /proc are its own
// from there on, so that its id maps can be written, and those of what it forks. The
// kernel gives them to root whenever credentials change (commit_creds, kernel/cred.c).
// Whoever has all capabilities in the agent's user namespace can trace it then: it is
// for where nobody else is.
func (p *Program) Expose() {
	p.Call("prctl PR_SET_DUMPABLE", unix.SYS_PRCTL, Int(unix.PR_SET_DUMPABLE), Int(1))
}
