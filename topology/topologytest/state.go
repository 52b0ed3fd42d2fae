package topologytest

import (
	"strconv"
	"strings"

	"github.com/renest/renest/topology"
)

// free is a range of ids of the parent that a map may still use.
type free struct{ first, count uint32 }

// external is what maps use of an external user namespace's ids, whatever it
// maps: plenty, and all below 2^20, so that inside ids never run out.
var external = []free{{0, 1}, {1, 99999}, {100000, 655360}}

// ids returns the ranges that children of p can map. Each lies in one extent.
func ids(p *topology.Namespace, m []topology.Extent) []free {
	if p.External {
		return append([]free(nil), external...)
	}
	var out []free
	for _, e := range m {
		out = append(out, free{e.Inside, e.Count})
	}
	return out
}

// creator returns a uid of p that a process may have.
func (b *builder) creator(p *topology.Namespace) uint32 {
	ranges := ids(p, p.User.UIDMap)
	r := ranges[b.rng.IntN(len(ranges))]
	if b.chance(60) {
		return r.first
	}
	return r.first + b.rng.Uint32N(r.count)
}

// idMap returns a map for a child of p, in any order of extents; sometimes none
// at all, and sometimes more than five, which the kernel keeps in another way.
func (b *builder) idMap(p *topology.Namespace, m []topology.Extent) []topology.Extent {
	if b.chance(8) {
		return nil
	}
	want := 1 + b.rng.IntN(3)
	if b.chance(10) {
		want = 6 + b.rng.IntN(8)
	}
	room := ids(p, m)
	var out []topology.Extent
	var inside uint32
	if b.chance(20) {
		inside = b.rng.Uint32N(5000)
	}
	for len(out) < want && len(room) > 0 {
		i := b.rng.IntN(len(room))
		r := room[i]
		room = append(room[:i], room[i+1:]...)
		// A part of the range; the rest stays free, so that more may follow.
		count := r.count/2 + b.rng.Uint32N(r.count-r.count/2) + 1
		count = min(count, r.count)
		start := b.rng.Uint32N(r.count - count + 1)
		out = append(out, topology.Extent{Inside: inside, Outside: r.first + start, Count: count})
		inside += count
		if b.chance(30) {
			inside += b.rng.Uint32N(1000)
		}
		for _, rest := range []free{{r.first, start}, {r.first + start + count, r.count - start - count}} {
			if rest.count > 0 {
				room = append(room, rest)
			}
		}
	}
	b.rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// name returns a host or domain name: mostly ordinary, at times at the edges of
// what the kernel takes.
func (b *builder) name() string {
	switch b.rng.IntN(12) {
	case 0:
		return ""
	case 1:
		return "(none)"
	case 2:
		return strings.Repeat("n", topology.MaxUTSName)
	case 3:
		return "with space, ünïcode"
	}
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-."
	s := make([]byte, 1+b.rng.IntN(20))
	for i := range s {
		s[i] = letters[b.rng.IntN(len(letters))]
	}
	return string(s)
}

// offset returns a clock offset that also a host which has only just booted
// takes: the kernel refuses to set a clock before zero.
func (b *builder) offset() topology.Offset {
	switch b.rng.IntN(4) {
	case 0:
		return topology.Offset{}
	case 1:
		return topology.Offset{Sec: -1, Nsec: b.rng.Uint32N(1e9)}
	}
	return topology.Offset{Sec: b.rng.Int64N(1e7), Nsec: b.rng.Uint32N(1e9)}
}

// settings sets every other namespace to something. A limit on user namespaces is
// above what there can be; settings of an ipc namespace take a root in its owner.
func (b *builder) settings() {
	for _, n := range b.graph.Namespaces {
		if n.External || b.chance(50) {
			continue
		}
		number := func(least, most int) string { return strconv.Itoa(least + b.rng.IntN(most-least)) }
		switch n.Type {
		case topology.User:
			n.User.Sysctls = topology.Sysctls{{Name: "user.max_net_namespaces", Value: number(1000, 2000)}}
		case topology.IPC:
			if _, ok := topology.MapDown(n.Owner.User.UIDMap, 0); ok {
				n.IPC.Sysctls = topology.Sysctls{
					{Name: "fs.mqueue.msg_max", Value: number(11, 20)},
					{Name: "kernel.msgmax", Value: number(9000, 10000)},
					{Name: "kernel.sem", Value: "250 " + number(1000, 2000) + " 32 128"},
				}
			}
		case topology.Net:
			n.Net.Loopback = b.chance(50)
			n.Net.Sysctls = topology.Sysctls{
				{Name: "net.ipv4.ip_default_ttl", Value: number(100, 200)},
				{Name: "net.ipv4.ip_local_port_range", Value: number(2000, 3000) + " " + number(4000, 5000)},
			}
		case topology.PID:
			if n.State == topology.Active {
				n.PID = &topology.PIDState{LastPID: 300 + b.rng.IntN(1000)}
			}
		}
	}
}
