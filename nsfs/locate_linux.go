package nsfs

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Open opens the namespace that l refers to. A Ref has to be searched for, and
// an ID too where the kernel does not open it for the caller: that is
// [ErrNotSupported] and for an ID also [ErrGone], see [Handle.Open].
func (l Locator) Open(p *Proc) (*NS, error) {
	switch {
	case l.Ref.Type != 0:
		return nil, &Error{Op: "open", Object: l.Ref.String() + " by its name", Kind: ErrNotSupported, Errno: unix.EOPNOTSUPP}
	case l.ID != 0:
		return Handle{ID: l.ID}.Open()
	case l.Task.PID == 0:
		return Open(l.Path)
	}
	t, err := l.Task.Open(p)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	ns, err := t.Open(l.Link)
	if !errors.Is(err, ErrGone) {
		return ns, err
	}
	if l.Link == PIDForChildren {
		if unborn, err := t.OpenByPIDFD(l.Link); err == nil {
			return unborn, nil
		}
	}
	var s Status
	if t.Status(&s) == nil && s.Zombie() {
		err = fmt.Errorf("process %d has ended: a zombie is in its user and its pid namespace only: %w", t.PID(), err)
	}
	return nil, err
}

// Open opens the process or thread that l refers to. Where l has a start time,
// it is that very one, or the error says that it has ended.
func (l TaskLocator) Open(p *Proc) (Task, error) {
	if l.PID == SelfPID {
		return p.Self()
	}
	t, err := p.Task(l.PID)
	if err != nil {
		return Task{}, l.noProcess(p, err)
	}
	if l.Start == 0 && p.hides == "" {
		return t, nil
	}
	// The directory is the same process's for as long as it is open. With hidepid=
	// it is there for all to open, and empty.
	start, err := t.StartTime()
	if err == nil && (l.Start == 0 || start == l.Start) {
		return t, nil
	}
	t.Close()
	if err == nil {
		return Task{}, fmt.Errorf("process %d was started at %d, the one started at %d is %w", l.PID, start, l.Start, ErrGone)
	}
	return Task{}, l.noProcess(p, err)
}

// noProcess says that there is none, if that is what err says.
func (l TaskLocator) noProcess(p *Proc, err error) error {
	switch {
	case !errors.Is(err, ErrGone):
		return err
	case p.hides != "":
		return fmt.Errorf("there is no process %d, or /proc hides it (%s): %w", l.PID, p.hides, err)
	}
	return fmt.Errorf("there is no process %d: %w", l.PID, err)
}
