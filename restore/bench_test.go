//go:build linux

package restore_test

import (
	"context"
	"testing"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/restore"
	"github.com/renest/renest/topology"
)

// containers returns a graph of n containers of five namespaces each.
func containers(n int) *topology.Graph {
	g := &topology.Graph{Header: topology.Header{Complete: true}}
	var host [topology.NumLinks]*topology.Namespace
	ino := uint64(4026531834)
	for _, t := range topology.Types {
		ino++
		x := &topology.Namespace{Type: t, Ino: ino, External: true}
		if t != topology.User {
			x.Owner = host[topology.InUser]
		}
		host[topology.LinkOf(t)] = x
		g.Namespaces = append(g.Namespaces, x)
	}
	full := []topology.Extent{{Count: 65536}}
	for i := range n {
		in := host
		task := &topology.Task{PID: 1000 + i, TID: 1000 + i, NSPID: []int{1000 + i, 1}}
		for _, t := range []topology.Type{topology.User, topology.Mnt, topology.UTS, topology.IPC, topology.PID} {
			ino++
			x := &topology.Namespace{Type: t, Ino: ino, Owner: in[topology.InUser]}
			switch t {
			case topology.User:
				x.Parent = x.Owner
				x.User = &topology.UserState{UIDMap: full, GIDMap: full, Setgroups: "allow"}
			case topology.PID:
				x.Parent = host[topology.InPID]
			case topology.UTS:
				x.UTS = &topology.UTSState{NodeName: "c", DomainName: "d"}
			}
			in[topology.LinkOf(t)] = x
			g.Namespaces = append(g.Namespaces, x)
		}
		task.Namespaces = in
		g.Tasks = append(g.Tasks, task)
	}
	return g
}

func BenchmarkExecute(b *testing.B) {
	p := plan(b, containers(200))
	for b.Loop() {
		s, err := restore.Execute(context.Background(), p, restore.Options{Dump: dump.Options{}})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(s.Made.Microseconds())/200, "µs/tree")
		b.ReportMetric(float64(s.Verified.Milliseconds()), "verify-ms")
		b.StopTimer()
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
