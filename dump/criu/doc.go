// Package criu drives CRIU for a dump of tasks whose namespaces CRIU alone does not
// save.
//
// [Split] looks at a graph and parts its tasks into layers: a layer is a process tree
// that CRIU takes in one go, with one user, pid, uts, ipc, cgroup and time namespace.
// A container in a container is a second layer. What cannot be taken is refused there,
// before anything is frozen. [Dump] has CRIU dump each layer into a folder, all of
// them frozen at once, and writes what joins them: the topology, and a [Record]. What
// CRIU would refuse of a layer, and a restore can see to by itself, it is not shown: the
// layers below, and namespaces of single tasks ([ApartTypes]).
//
// CRIU itself is the unmodified program, of 4.2 or later. It speaks the protocol of
// its RPC service ([Service]) with the types of go-criu; go-criu's own client cannot
// be used, as CRIU has to run elsewhere than its caller does: in namespaces that the
// tree shares with its ancestors, and at a restore inside the restored ancestors.
//
// # Needs
//
// Root in the initial user namespace, CRIU 4.2 (its unprivileged restore), nft's
// library with it for --network-lock nftables, Linux as of package dump.
package criu
