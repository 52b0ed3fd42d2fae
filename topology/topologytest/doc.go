// Package topologytest makes random namespace topologies for tests.
//
// What [Random] returns can be created on a real kernel: it obeys the rules of
// clone(2), unshare(2) and user_namespaces(7) on owners, parents, id maps and
// levels, so that a test may restore it, dump it again and compare. The same
// seed gives the same graph. It imports topology alone, as topology does
// nothing, and builds everywhere.
package topologytest
