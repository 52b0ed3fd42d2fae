// Package nsfs is the kernel's interface to Linux namespaces: what they are
// called, how they are opened, what they say about themselves, and how they are
// listed.
//
// There are three ways to a namespace, and each has its type here:
//
//   - [Proc], one verified handle on a procfs: the ten links of each task, its
//     descriptors, its mounts;
//   - [List], an iterator over listns(2), which gives ids (Linux 6.19);
//   - [Handle], a file handle of the nsfs file system, by which a namespace is
//     opened again from its id alone (Linux 6.18).
//
// All lead to an [NS], an open descriptor that keeps the namespace alive and
// answers for its type, id, owner and parent. Opening one has a side effect that
// this package cannot spare its callers: a namespace that nobody used any more,
// but that was still referenced, becomes active again, with its chain of owners.
//
// What a kernel may lack is asked for by name: [HaveNSID], [HaveListns] and the
// others answer nil, [ErrNotSupported], or another error where they could not
// tell. No function compares version numbers.
//
// # Privileges
//
// Reading the links of a task needs PTRACE_MODE_READ_FSCREDS over it, see
// ptrace(2); asking a namespace for its owner or parent needs the answer to lie
// within the caller's own user (or pid) namespace, else [ErrOutOfSight]. Listing
// is filtered in silence: see [SeesAll].
//
// # When not to use it
//
// To find the namespaces of a tree or a host with their edges and their state,
// use package dump, which joins all the sources. To do something inside a
// namespace, use package nsfs/agent: a Go program has several threads, and most
// namespaces belong to a thread.
package nsfs
