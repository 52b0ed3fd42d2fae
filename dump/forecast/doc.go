// Package forecast says, before anything is frozen, what CRIU would make of a tree
// of processes: what it refuses, what it reports as a success and cannot restore,
// and what it restores as something else.
//
// Of takes a graph that dump.Tree has read in the namespaces that CRIU will run in,
// with CopiedBinds, and is pure. The rules are those of CRIU 4.2 and 4.3, read in its sources and
// compared with what it does; each names the place. They are about namespaces
// alone: whether CRIU can dump a tree's terminals, sockets and mounts, CRIU says.
package forecast
