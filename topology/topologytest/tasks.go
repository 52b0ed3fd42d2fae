package topologytest

import "github.com/renest/renest/topology"

// tasks gives each active pid namespace an init, parents first, and some of
// them more tasks. It needs the namespaces in an order with parents first.
func (b *builder) tasks() {
	next := make(map[*topology.Namespace]int) // the next pid, by pid namespace
	next[b.ext[topology.InPID]] = 1000 + b.rng.IntN(1000)
	for _, n := range b.graph.Namespaces {
		if n.Type != topology.PID || n.External || n.State != topology.Active {
			continue
		}
		next[n] = 1
		init := b.task(next, n, "init")
		n.PID = &topology.PIDState{Init: init.PID}
		for range b.rng.IntN(3) {
			b.task(next, n, "work")
		}
	}
}

// task adds a task to the pid namespace n and to namespaces that its owner
// owns; to the external ones of the types of which it owns none.
func (b *builder) task(next map[*topology.Namespace]int, n *topology.Namespace, comm string) *topology.Task {
	t := &topology.Task{Comm: comm, Namespaces: b.ext}
	for p := n; p != nil; p = p.Parent {
		t.NSPID = append([]int{next[p]}, t.NSPID...)
		next[p]++
	}
	t.PID = t.NSPID[0]
	t.TID = t.PID
	for _, other := range b.graph.Namespaces {
		if other.Owner == n.Owner && other.Type != topology.User && b.chance(60) {
			t.Namespaces[topology.LinkOf(other.Type)] = other
		}
	}
	t.Namespaces[topology.InUser] = n.Owner
	t.Namespaces[topology.InPID] = n
	t.Namespaces[topology.PIDForChildren] = n
	t.Namespaces[topology.TimeForChildren] = t.Namespaces[topology.InTime]
	b.graph.Tasks = append(b.graph.Tasks, t)
	return t
}
