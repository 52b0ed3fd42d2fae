// Package demo builds a nest of namespaces for renest demo to dump, destroy and
// restore. It is made of agents, place by place and by hand: the planner that
// the restore goes by has no part in it.
//
// It works as root and as an ordinary user, where user namespaces are allowed,
// and needs nothing mounted but procfs.
package demo
