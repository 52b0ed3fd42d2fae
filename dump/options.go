package dump

import (
	"fmt"

	"github.com/renest/renest/nsfs/agent"
)

// Source says where a dump looks for namespaces.
type Source uint8

// The sources. Tasks, descriptors and mounts come from /proc in any case.
const (
	Auto   Source = iota // Listns where the kernel has it and shows everything, else Proc
	Listns               // listns(2) as well as /proc, and an error without it
	Proc                 // /proc alone
)

var sourceNames = [...]string{"auto", "listns", "proc"}

// String returns the source's name.
func (s Source) String() string {
	if int(s) >= len(sourceNames) {
		return fmt.Sprintf("source(%d)", uint8(s))
	}
	return sourceNames[s]
}

// ParseSource reads the name of a source.
func ParseSource(s string) (Source, error) {
	for i, n := range sourceNames {
		if n == s {
			return Source(i), nil
		}
	}
	return 0, fmt.Errorf("unknown source %q (known: auto, listns, proc)", s)
}

// Options say how to dump. The zero value is a good choice. What comes behind Tool is
// for who drives CRIU or verifies a restore ([Notify], packages dump/criu,
// dump/forecast and restore); a dump for anything else leaves it out.
type Options struct {
	Source Source

	// NoState leaves out what namespaces hold (maps, names, offsets): the graph
	// alone. An agent it takes only for what cannot be told from outside, such as
	// whether a pid namespace without an init had one.
	NoState bool

	// NoSysctls leaves out what takes the most time of that: the settings of
	// ipc, net and user namespaces, pid_max and last pids.
	NoSysctls bool

	// NoBinds leaves out bind mounts of namespaces, and those that nothing else
	// leads to.
	NoBinds bool

	// Tool is the header's: program and version. By default it is taken from
	// the build information.
	Tool string

	// Inits adds to a tree the first process of each pid namespace above it, up
	// to the caller's own: what those are members of is what a task of the tree
	// is born into.
	Inits bool

	// Processes are, where it is not nil, all that a tree consists of beside its
	// root, by number: then no other process of the host is looked at.
	Processes []int

	// Offspring takes for a tree its root and the descendants of that, which is
	// what CRIU dumps: not what has entered a pid namespace of theirs from
	// outside. No other process of the host is looked at. It needs
	// CONFIG_PROC_CHILDREN, as CRIU does.
	Offspring bool

	// Still says that no task of the tree runs, as when CRIU has it frozen: one look
	// at it is enough, and what it takes to look at settings is made ready meanwhile.
	Still bool

	// Fresh keeps, from one dump on this host to the next, what settings of net
	// namespaces are compared with. Optional.
	Fresh *FreshNet

	// Kin is a crew that the agents of the dump are to be of the same family as.
	// Optional.
	Kin *agent.Crew

	// CopiedBinds takes in what is bind mounted in a mount namespace of the tree
	// because that was copied from the caller's, where it is mounted too. It is
	// not the tree's own, but CRIU comes across it.
	CopiedBinds bool
}
