// Package dump reads the topology of namespaces from a running kernel.
//
// [All] takes the whole host, [Tree] a process, its descendants and what dies
// with them. Both ask every source there is: the links of tasks and of threads,
// open descriptors, bind mounts in each mount namespace, and listns(2) where the
// kernel has it and shows it; then they follow owners and parents until nothing
// new appears. Each source has a file of its own, and so has what each kind of
// namespace holds: id maps, names, clock offsets, cgroup root, init.
//
// [Host] answers what needs no dump: it opens the namespace that a [Reference]
// means, and says what a task may do to it, for which it climbs from the one and
// reads the other.
//
// # What is not seen
//
// A namespace that vanishes midway is none. One that is there and could not be
// read is a line in the header's Missing, and Complete is then false: the reader
// of a dump is told what it does not hold. Without privilege that is a lot, since
// the namespaces of other users' tasks cannot be read, ptrace(2).
//
// # What it does to the host
//
// Nothing. A dump holds few descriptors at a time, so that no namespace outlives
// its last user by more than a moment, and ten thousand namespaces need no ten
// thousand descriptors. What can only be read inside a namespace is read by an
// agent, a process of a few pages that ends with the dump (package nsfs/agent).
//
// # Needs
//
// Linux 4.11, and 5.9 for what an agent reads; more is used where it is there
// (ids and handles of 6.18, listns(2) of 6.19). A procfs of the caller's own pid
// namespace at /proc. The dump is not one moment's: where a tree must not change
// under it, freeze it first.
package dump
