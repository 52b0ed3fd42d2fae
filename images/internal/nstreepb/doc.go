// Package nstreepb is the Go form of nstree.proto, generated. Package images is
// its only user: what others want to hold is a topology.Graph.
package nstreepb

//go:generate sh generate.sh
