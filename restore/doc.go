// Package restore brings a graph of namespaces back.
//
// It does so in four parts. [NewPlan] turns a [topology.Graph] into a [Plan]:
// steps, in an order that the kernel's rules allow, each with its reason.
// Making one is pure. [Preflight] compares a plan with a [Host] and gives every
// reason why this host or this caller cannot carry it out, all at once.
// [Execute] carries it out through agents (package agent), looks at what was
// made with the dump code, compares, and only then lets it stand: unless it is
// finished, it is as if it had never started, even where the caller is killed.
// A finished [Tree] is found again by its name: [List], [Find], [Remove].
//
// # What is restored
//
// The namespaces, not the tasks: which there are, who owns each, user and pid
// nesting, id maps, setgroups, creators' uids, host and domain names, clocks,
// cgroup roots, sysctls, loopback devices, last pids; dead pid namespaces and
// hidden net namespaces as such. In each pid namespace that lives stays a
// holder: its init, which reaps what it inherits, and which is a member of the
// namespaces that the first process was a member of. What no holder is in, a
// keeper holds by descriptor. Mount namespaces are copies of the caller's, net
// namespaces have but their loopback: their contents belong to CRIU and the
// runtime.
//
// # Needs
//
// Linux 5.9, procfs at /proc. As root everything; as an ordinary user trees
// under one user namespace that maps the user's own id.
package restore
