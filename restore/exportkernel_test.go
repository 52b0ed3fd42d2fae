//go:build linux && (amd64 || arm64)

package restore

import (
	"context"
	"os"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
)

// Claim claims a name, and gives it up again.
func Claim(name string) error {
	c, err := newClaim(name, agent.Family{}, nil, nil)
	if err != nil {
		return err
	}
	return c.release()
}

// Explain is explain, for tests.
func Explain(err error) error { return explain(err) }

// ExplainSetting is explainSetting, for tests.
func ExplainSetting(err error) error { return explainSetting(err) }

// Dumpable enters namespaces as Enter does and returns what prctl(2) says of the agent
// that is to run the command there: 0, nobody may trace it.
func Dumpable(ctx context.Context, in []*nsfs.NS, stdio []*os.File) (int, error) {
	crew, err := startFor(ctx, in, stdio)
	if err != nil {
		return -1, err
	}
	defer crew.Close()
	if err := crew.Root().Protect(ctx); err != nil {
		return -1, err
	}
	if _, err := joinAll(ctx, crew.Root(), in); err != nil {
		return -1, err
	}
	var p agent.Program
	asked := p.Call("prctl PR_GET_DUMPABLE", unix.SYS_PRCTL, agent.Int(unix.PR_GET_DUMPABLE))
	err = crew.Root().Run(ctx, &p)
	return asked.Value(), err
}
