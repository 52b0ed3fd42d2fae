// Package agent runs chains of system calls in single-threaded processes that
// may enter, create and leave namespaces, which no thread of a Go program can.
//
// # Model
//
// [Start] executes a program of some hundred bytes of machine code from a
// memfd. It knows one thing: to carry out the next record of a memory that it
// shares with its maker. A record names a system call, where its arguments
// lie, and which record follows a negative, a zero and a positive result; that
// is enough for sequences, for error exits, for fork (zero is the child) and
// for waiting (futex(2) is a system call too). All else is Go, in the maker: a
// [Program] is compiled to records, [Agent.Run] has an agent carry it out and
// brings back every result.
//
// An agent is that small so that its children are cheap: clone3(2) of it copies
// five mappings and no page tables worth the name, however large the maker is.
// Agents fork agents, into namespaces or out of them; all of them share one
// descriptor table, so that what one opens another may pass to setns(2). A
// [Crew] is the whole family.
//
// # Life and death
//
// The first process of a crew is its guardian. It blocks in read(2) on a pipe
// whose other end only the maker holds. Whatever becomes of the maker, SIGKILL
// included, the guardian reads end of file, carries out the undo records that
// were left with it, and kills the crew's process group: nothing survives
// unless [Crew.Commit] succeeded. Agents ignore SIGCHLD, so their children
// leave no zombies, and an agent that ends with [Agent.Hold] is a fit init of a
// pid namespace: it reaps, and it costs one page.
//
// # Needs
//
// Linux 5.9 (clone3, close_range) on amd64 or arm64, a mounted procfs, and
// leave to execute a memfd (vm.memfd_noexec below 2). No privilege.
package agent
