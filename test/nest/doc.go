// Command nest makes a tree of processes in nested namespaces and stays: what the
// scenarios dump.
//
// Its argument is a Spec in JSON. The process that a Spec describes says so on
// standard output, one line "ready NAME PID", when its namespaces are as the Spec
// wants them; PID is as the process's own pid namespace numbers it. It ends when it
// is killed, or when its standard input does.
package main
