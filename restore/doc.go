// Package restore brings a graph of namespaces back.
//
// It does so in four parts. [NewPlan] turns a [topology.Graph] into a [Plan]:
// steps, in an order that the kernel's rules allow, each with its reason.
// Making one is pure. [Preflight] compares a plan with a [Host] and gives every
// reason why this host or this caller cannot carry it out, all at once.
// [Execute] carries it out through agents (package agent), looks at what was
// made with the dump code, compares, and only then lets it stand: unless it is
// finished, it is as if it had never started, even where the caller is killed.
// A restore is recorded before it begins: what one leaves that was killed together
// with the processes that would undo it, the next one removes, and so does [Remove].
// Canceling the context of Execute undoes too. A finished [Tree] is found again by its
// name: [List], [Find], [Remove].
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
// # What may differ
//
// [PlanOptions] say what is meant to be otherwise than in the image: namespaces for
// which others stand that are there (External), the ids that the outermost user
// namespaces map (IDs), the pids of the holders (PIDs), bind mounts (Pins). The
// plan's graph is what is then to be made, and what the result is compared with;
// [Host.Resolve] looks up what the options name on this host, for Preflight.
//
// # Needs
//
// Linux 5.9, procfs at /proc. As root everything; as an ordinary user trees in user
// namespaces that map the user's own id, and those that subuid(5) and subgid(5)
// lend to it, by newuidmap(1) and newgidmap(1).
package restore
