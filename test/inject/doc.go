// Command inject runs a program and spoils one system call of it, or of a process
// that it made: the call fails without being made, or somebody is killed before or
// after it.
//
//	inject -report FILE [-at PLACE (-errno N | -kill WHOM [-after])] -- CMD…
//
// A place is written PROCESS/CALL/N: the N-th call of that kind in a process. The
// program itself, with all its threads, is "0", the first process that it makes
// "0.1", the second process which that makes "0.1.2". Named like this a place is the
// same one in every run, which strace(1) could not say: it counts by thread. The
// Go runtime's own calls (memory, threads, timers, signals) have no place.
//
// WHOM is "0" for the program, or "crew" for it and all processes at once that
// executed an agent: those that take care that nothing remains.
//
// The report, in JSON, has the places in the order in which they came, and whether
// the one asked for did. The exit code is the program's, 128+N where signal N ended
// it. Processes that the program leaves go on, traced no more.
//
// Linux 5.3 (PTRACE_GET_SYSCALL_INFO), amd64 and arm64.
package main
