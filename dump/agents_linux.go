package dump

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/nsfs/agent"
)

// agents starts the agents when they are needed first. They end with the dump.
func (d *dumper) agents() (*inside, error) {
	if d.inner == nil {
		start := d.startInside
		if d.ahead != nil {
			start, d.ahead = d.ahead, nil
		}
		v, err := start()
		if err != nil {
			return nil, err
		}
		d.inner = v
	}
	return d.inner, nil
}

// startAhead starts the agents at once, and has them make what settings are compared
// with: while the tasks of a tree that stands still are read, each moment counts. Most
// such trees are containers and have some.
func (d *dumper) startAhead() {
	if !d.opts.Still || d.opts.NoState || d.opts.NoSysctls {
		return
	}
	var v *inside
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		if v, err = d.startInside(); err == nil {
			err = v.freshNet()
		}
	}()
	d.ahead = func() (*inside, error) {
		<-done
		if err != nil && v != nil {
			return nil, errors.Join(err, v.close())
		}
		return v, err
	}
}

func (d *dumper) startInside() (*inside, error) {
	fd, err := unix.FcntlInt(uintptr(d.proc.FD()), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("start agent: %w", err)
	}
	proc := os.NewFile(uintptr(fd), "/proc")
	defer proc.Close()
	admin, err := nsfs.HasCapability(unix.CAP_SYS_ADMIN)
	if err != nil {
		return nil, err
	}
	crew, err := agent.Start(d.ctx, agent.Options{Proc: proc, Name: "renest: dump", Kin: d.opts.Kin})
	if err != nil {
		return nil, err
	}
	if admin {
		if err := crew.Root().Protect(d.ctx); err != nil {
			return nil, errors.Join(err, crew.Close())
		}
	}
	return &inside{d: d, crew: crew, admin: admin, tid: nativeTID}, nil
}
