// Package topology is the graph of Linux namespaces: which there are, which
// user namespace owns each, which user or pid namespace is the parent of each,
// and which tasks live where.
//
// A [Graph] holds [Namespace] values in creation order, joined by two kinds of
// edge: the owner, which every namespace has and which is always a user
// namespace, and the parent, which only user and pid namespaces have. For a
// user namespace owner and parent are the same. An edge that leads out of what
// the observer could see is nil, and the reason is in Header.Missing: partial
// knowledge is data.
//
// What can be known of a graph without a kernel is here: whether one could hold
// it ([Graph.Validate]), in which order it can be made ([Graph.SortCreation]),
// whether two are the same but for numbers ([Isomorphic]), what an id map says
// in whose numbers ([Compose], [Relativize]), what a task may do to a namespace
// ([Authorize]), what makes one of another ([Diff]), and how to draw it ([WriteTree],
// [WriteDOT], [WriteMermaid], [WriteHTML]). A graph from elsewhere should
// be validated before anything else is asked.
//
// The package is pure. It makes no system call, needs no privilege and builds
// on every system: package dump fills a graph from a running kernel, package
// images writes it to a file, package restore turns it back into namespaces.
package topology
