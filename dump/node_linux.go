package dump

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// node is a namespace while it is being found out about.
type node struct {
	ref       nsfs.Ref
	id        nsfs.ID // 0 before Linux 6.18
	owner     *node
	parent    *node // of a user namespace the same as owner
	ownerErr  error // why there is none
	parentErr error
	known     atomic.Bool // described: the fields above and below are filled
	busy      bool        // someone is at it; under the registry's lock
	since     int64       // when it became known, by the registry's count
	external  bool
	keep      bool
	unborn    bool // a pid namespace that is known never to have had an init

	ownerUID uint32 // user: the creator, in our own numbering
	init     int    // pid: its init, 0 where there is none or it is not known
	noInit   bool   // pid: there is certainly none
	member   member // a task in it
	time     member // a task whose children will be in it: /proc shows that offset
	way      way
	maps     *userMaps
	limits   topology.Sysctls // user
	bindsBy  bool             // mnt: its bind mounts were read, or are being
	bindsBad int              // mnt: how often one could not be opened
	mounts   nsfs.MountNS     // mnt: zero where the kernel does not say
	partly   member           // mnt: a task in it that sees some of its mounts

	held    bool        // by the caller, who is in it
	refs    int         // tasks, descriptors and mounts that lead here by its number
	checked bool        // that it was still the same after all of those were read
	stale   atomic.Bool // it is gone, and its number may be another's

	out    *topology.Namespace
	pinned int // by how many things
}

// member is a task by its numbers. They are trusted only after a look at what
// the task is a member of.
type member struct{ pid, tid int }

// way is how a namespace was opened, and may be again, while nothing holds it.
type way struct {
	kind wayKind
	task member
	link nsfs.Link
	fd   int
	path string
	from *node
}

type wayKind uint8

const (
	byLink   wayKind = iota + 1 // a link of a task
	byPIDFD                     // a link of a task that only a pidfd opens
	byFD                        // a descriptor of a task
	byFlight                    // in flight to a socket of a task
	bySocket                    // a socket of a task
	byBind                      // a path below a task's root, or in mount namespace from
	byOwner                     // as the owner of from
	byParent                    // as the parent of from
	byID                        // as listns(2) lists it
)

// registry holds each namespace once, for all workers.
type registry struct {
	mu    sync.Mutex
	idle  sync.Cond // somebody is done
	await int       // how many wait for that
	nodes map[nsfs.Ref]*node
	clock atomic.Int64 // counts the nodes that became known
}

func newRegistry() *registry {
	r := &registry{nodes: map[nsfs.Ref]*node{}}
	r.idle.L = &r.mu
	return r
}

// get returns the node of ref, which is known, or is the caller's to describe: then
// it calls done. It waits for whoever is describing it. That ends: who describes one
// waits for an owner or a parent of it alone, and holds it open, so that the kernel
// gives neither number to another meanwhile.
func (r *registry) get(ref nsfs.Ref) (n *node, mine bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		n = r.nodes[ref]
		switch {
		case n == nil:
			n = &node{ref: ref, busy: true}
			r.nodes[ref] = n
			return n, true
		case n.known.Load():
			return n, false
		case !n.busy:
			n.busy = true
			return n, true
		}
		r.await++
		r.idle.Wait()
		r.await--
	}
}

// done says whether the caller described n. Where not, the next to meet it tries.
func (r *registry) done(n *node, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n.busy = false
	if known {
		n.since = r.clock.Add(1)
	}
	n.known.Store(known)
	if r.await > 0 {
		r.idle.Broadcast()
	}
}

// claimBinds reports whether the caller is the one to read the mounts of n.
func (r *registry) claimBinds(n *node) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n.bindsBy {
		return false
	}
	n.bindsBy = true
	return true
}

func (r *registry) releaseBinds(n *node) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n.bindsBy = false
}

// unreadMounts returns the mount namespaces whose bind mounts were not read, in a
// fixed order.
func (r *registry) unreadMounts() []*node {
	return r.all(func(n *node) bool { return n.ref.Type == nsfs.Mnt && !n.bindsBy })
}

// forget removes a node whose namespace is gone, and whose number may be another's.
func (r *registry) forget(n *node) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n.stale.Store(true)
	if r.nodes[n.ref] == n {
		delete(r.nodes, n.ref)
	}
}

// purge removes the nodes of namespaces that cannot be there any more, see gone.
func (r *registry) purge() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for ref, n := range r.nodes {
		if gone(n) {
			n.stale.Store(true)
			delete(r.nodes, ref)
		}
	}
}

// lookup returns the described node of ref, nil where there is none.
func (r *registry) lookup(ref nsfs.Ref) *node {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := r.nodes[ref]; n != nil && n.known.Load() {
		return n
	}
	return nil
}

// each calls f with every described node.
func (r *registry) each(f func(*node)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.nodes {
		if n.known.Load() {
			f(n)
		}
	}
}

// all returns every described node that is wanted, in a fixed order.
func (r *registry) all(wanted func(*node) bool) []*node {
	var list []*node
	r.each(func(n *node) {
		if wanted(n) {
			list = append(list, n)
		}
	})
	slices.SortFunc(list, func(a, b *node) int { return cmp.Compare(a.ref.Ino, b.ref.Ino) })
	return list
}

// above reports whether a is b or an ancestor of b.
func above(a, b *node) bool {
	for ; b != nil; b = b.parent {
		if a == b {
			return true
		}
	}
	return false
}
