package dump

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
)

// Feature is something of the kernel's, or a privilege, that renest uses where it
// is there.
type Feature struct {
	Name string // listns(2)
	// Err is nil where it is there. Where it is not, or that could not be told,
	// it says why.
	Err error
	For string // what it is good for
	// Instead is what is done, or missed, without it.
	Instead string
}

// Why says why it is not there, in fewer words than Err where that names it again.
func (f Feature) Why() string {
	switch {
	case f.Err == nil:
		return ""
	case errors.Is(f.Err, nsfs.ErrNotSupported):
		return nsfs.ErrNotSupported.Error()
	}
	return f.Err.Error()
}

// Features asks the running kernel for what renest can use, and for the caller's
// privileges. It changes nothing.
func Features() ([]Feature, error) {
	p, err := nsfs.OpenProc()
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	defer p.Close()
	list := []Feature{
		{"listns(2)", nsfs.HaveListns(), "lists namespaces at once", "every task is asked in /proc (Linux 6.19 has it)"},
		{"whole sight", sees(p), "listns(2) lists the namespaces of others", "it lists the caller's own only, and /proc serves"},
		{"namespace ids", nsfs.HaveNSID(p), "tell a namespace from a later one of its number", "inode numbers, which are recycled (Linux 6.18 has them)"},
		{"handles by id", nsfs.HaveHandleByID(p), "open a namespace by its id alone", "it is looked for (Linux 6.19 has them)"},
		{"pid translation", nsfs.HavePIDTranslation(p), "finds the init of a pid namespace", "it is looked for in /proc (Linux 6.11 has it)"},
		{"mount lists", nsfs.HaveMountList(p), "find bind mounts of namespaces anywhere", "mountinfo of a task in each mount namespace (Linux 6.12 has them)"},
		{"pidfd namespaces", nsfs.HavePIDFDNamespaces(p), "open pid namespaces whose init is yet to come", "they are missed (Linux 6.11 has them)"},
		{"time namespaces", nsfs.HaveTime(p), "are dumped and restored", "an image with one cannot be restored (Linux 5.6 has them)"},
	}
	for _, c := range []struct {
		number      int
		name        string
		good, other string
	}{
		{unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN", "enters namespaces of others", "only one's own user namespaces are entered"},
		{unix.CAP_SYS_PTRACE, "CAP_SYS_PTRACE", "looks at the tasks of others", "theirs are reported as missing"},
		{unix.CAP_CHECKPOINT_RESTORE, "CAP_CHECKPOINT_RESTORE", "lets CRIU choose pids", "CAP_SYS_ADMIN serves, else CRIU cannot restore"},
	} {
		ok, err := nsfs.HasCapability(c.number)
		if err == nil && !ok {
			err = errNoCapability
		}
		list = append(list, Feature{c.name, err, c.good, c.other})
	}
	return list, nil
}

var errNoCapability = errors.New("the caller does not have it")

// sees asks whether listns(2) would show everything to the caller.
func sees(p *nsfs.Proc) error {
	if err := nsfs.HaveListns(); err != nil {
		return err
	}
	ok, err := nsfs.SeesAll(p)
	if err == nil && !ok {
		err = errors.New("it takes CAP_SYS_ADMIN and the initial pid namespace")
	}
	return err
}
