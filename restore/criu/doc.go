// Package criu has CRIU restore tasks inside namespaces that package restore has made.
//
// CRIU restores one level of namespaces, as children of its own. [Restore] therefore
// makes the ancestors of a tree first, and every user namespace of the tree itself;
// then it has an unmodified CRIU run inside of them, which makes the pid, mount, ipc
// and net namespaces of the tasks, so that each gets the owner and the parent it had.
// What else CRIU does not keep is made beforehand too, and shared with it: UTS, time
// and cgroup namespaces, and net namespaces of foreign user namespaces. The images say
// otherwise, and are shown to CRIU in a changed copy (see [Images]).
//
// Of a dump in layers, the outermost is restored first, up to where all of its tasks
// exist and none runs; then the next one, inside of it, and so on. All is looked at
// with the dump code and compared before a task runs on; what is not as it was is
// taken down again.
//
// Restored tasks that wait for that do what only they can (package tracee): beget the
// CRIU of the next layer, where one of them was the parent of its first task; have
// their children in another pid namespace; enter namespaces of their own of the other types
// but for mount and net ([dumpcriu.ApartTypes]). Time namespaces they enter when they are
// born, before they have the threads with which they could not.
//
// # What is not restored
//
// The tasks of ancestors: in their place is the init that package restore gives a pid
// namespace. The contents of the ancestors' mount and net namespaces. A root directory
// has to be there: CRIU does not save files.
//
// # Needs
//
// Root in the initial user namespace, CRIU 4.2, Linux 5.12 for images on a file system
// with idmapped mounts (else they are copied into memory).
package criu
