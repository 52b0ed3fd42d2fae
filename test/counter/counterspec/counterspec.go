// Package counterspec is how program counter is told what to do: the one argument that
// it takes is a Process in JSON.
package counterspec

import "slices"

// Process is one process, the namespaces that it is the first in, and its child.
type Process struct {
	New []string `json:"new,omitempty"` // types by the kernel's names
	// Outside is the parent's id of the first id of a new user namespace, Count
	// how many there are.
	Outside int `json:"outside,omitempty"`
	Count   int `json:"count,omitempty"`
	// Hostname is for a new UTS namespace.
	Hostname string `json:"hostname,omitempty"`
	// Offset is added to the clocks of a new time namespace, in seconds.
	Offset int `json:"offset,omitempty"`
	// Root becomes the root directory. The program is there too, as /counter.
	Root string `json:"root,omitempty"`
	// Serve starts the service, on a loopback of its own.
	Serve bool `json:"serve,omitempty"`
	// Foreign is how many ids a user namespace has that no task is in, and that owns
	// a net namespace that this process moves to.
	Foreign int `json:"foreign,omitempty"`
	// Scratch mounts a file system at /scratch and copies the program to /scratch/root.
	Scratch bool `json:"scratch,omitempty"`
	// Odd opens a socket that CRIU cannot dump.
	Odd bool `json:"odd,omitempty"`
	// Queue makes a message queue.
	Queue bool `json:"queue,omitempty"`
	// Deputy has a process of its own start the child and stay its parent: one that
	// "waits" for it, or "ignores" its end, or waits and "unshares" the pid namespace
	// before, or is "filtered" or "demoted", so that it could not do so once more,
	// or "named" by a UTS namespace of its own. One that "doubles" starts the child
	// once more, in the folder inner of its root directory.
	Deputy string   `json:"deputy,omitempty"`
	Child  *Process `json:"child,omitempty"`
}

// Has reports whether the process is the first in a namespace of a type, by the
// kernel's name.
func (p *Process) Has(typ string) bool { return slices.Contains(p.New, typ) }
