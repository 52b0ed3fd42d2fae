// Package tracee has threads of other programs make system calls: what only they
// themselves can do, such as to have a child, or to enter a namespace.
//
// [Hold] stops a thread by ptrace(2), lends it to a function, and lets it go on where
// it was, with the registers and the signal mask that it had. Meanwhile the function
// has it call the kernel ([Held.Call]), and fork ([Held.Fork]) a child that executes
// something else ([Held.Execute]) and is from then on traced no more.
// [Births] lends those that are only about to be born.
//
// This is for threads that wait in a system call, as those do that CRIU has just
// restored: the instruction that made the call is used again. One that was about to
// return an error to be restarted is restarted (signal(7)).
//
// Not for programs that somebody else traces, and not for 32-bit ones.
//
// # Needs
//
// Leave to trace (ptrace(2), PTRACE_MODE_ATTACH_REALCREDS), Linux 3.11
// (PTRACE_SETSIGMASK), amd64 or arm64.
package tracee
