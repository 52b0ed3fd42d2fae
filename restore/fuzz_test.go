//go:build linux && (amd64 || arm64)

package restore_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/renest/renest/images"
	"github.com/renest/renest/restore"
	"github.com/renest/renest/topology"
	"github.com/renest/renest/topology/topologytest"
)

// FuzzStranger changes graphs and takes them on a stranger's way: into an image, out
// of it, to a plan, to preflight. Whatever is accepted there keeps the kernel's rules
// in the model that the tests of plans use.
func FuzzStranger(f *testing.F) {
	for seed := range uint64(6) {
		for op := range byte(len(edits)) {
			f.Add(seed, seed%2 == 0, []byte{op, byte(seed), 3, 5, op, 9, byte(seed), 1})
		}
	}
	f.Fuzz(func(t *testing.T, seed uint64, privileged bool, data []byte) {
		g := topologytest.Random(rand.New(rand.NewPCG(seed, 11)), topologytest.Options{
			Namespaces: 12, Tasks: seed%3 > 0, Dead: true, Unborn: true,
			Unprivileged: !privileged, UID: simUID, GID: simGID,
		})
		for len(data) >= 4 && len(data) < 256 {
			edits[int(data[0])%len(edits)](g, int(data[1]), int(data[2]), int(data[3]))
			data = data[4:]
		}
		var image bytes.Buffer
		if err := images.Encode(&image, g); err != nil {
			return
		}
		decoded, err := images.Decode(&image)
		if err != nil {
			return
		}
		stranger(t, decoded, privileged)
	})
}

// FuzzImage is the same for the bytes of an image.
func FuzzImage(f *testing.F) {
	for seed := range uint64(4) {
		var image bytes.Buffer
		if err := images.Encode(&image, topologytest.Random(rand.New(rand.NewPCG(seed, 11)), topologytest.Options{Tasks: true})); err != nil {
			f.Fatal(err)
		}
		f.Add(image.Bytes(), true)
		f.Add(image.Bytes()[:image.Len()/2], false)
	}
	f.Fuzz(func(t *testing.T, image []byte, privileged bool) {
		if g, err := images.Decode(bytes.NewReader(image)); err == nil {
			stranger(t, g, privileged)
		}
	})
}

// stranger plans for a graph that somebody made up.
func stranger(t *testing.T, g *topology.Graph, privileged bool) {
	t.Helper()
	host := ordinary()
	if privileged {
		host = roots()
	}
	p, err := restore.NewPlan(g, host.PlanOptions())
	if err == nil {
		err = restore.Preflight(p, host)
	}
	if err != nil {
		if n := strings.Count(err.Error(), "\n"); n > 100 {
			t.Errorf("%d reasons", n)
		}
		return
	}
	p.Takes()
	p.Needs()
	for _, s := range p.Steps {
		_ = s.String()
	}
	k := newKernel(p, privileged, host.UID, host.GID)
	k.carryOut(rand.New(rand.NewPCG(1, 0)), p)
	if len(k.broken) > 0 {
		logSteps(t, p)
		t.Errorf("accepted, and would fail:\n%s", strings.Join(k.broken, "\n"))
	}
}

// ids are numbers worth trying.
var ids = [...]uint32{0, 1, simUID, simGID, 65534, 1 << 31, topology.NoID - 1, topology.NoID}

func id(n int) uint32 { return ids[n%len(ids)] }

// texts are names and paths worth trying.
var texts = [...]string{"", "/", "../../..", "/a/../../b", "a\x00b", "\x1b[2J", "a\nb", strings.Repeat("n", 64), strings.Repeat("/d", 2000), "\xff\xfe"}

func text(n int) string { return texts[n%len(texts)] }

// edits change a graph; what a, b and c choose is theirs.
var edits = [...]func(g *topology.Graph, a, b, c int){
	func(g *topology.Graph, a, b, _ int) { pick(g, a).Owner = pick(g, b) },
	func(g *topology.Graph, a, b, _ int) { pick(g, a).Parent = pick(g, b) },
	func(g *topology.Graph, a, b, _ int) { pick(g, a).Type = topology.Type(b % 10) },
	func(g *topology.Graph, a, _, _ int) { pick(g, a).External = !pick(g, a).External },
	func(g *topology.Graph, a, b, _ int) { pick(g, a).State = topology.State(b % 6) },
	func(g *topology.Graph, a, b, c int) {
		u := userOf(g, a)
		u.UIDMap = append(u.UIDMap, topology.Extent{Inside: id(b), Outside: id(c), Count: id(b / 8)})
	},
	func(g *topology.Graph, a, b, c int) {
		u := userOf(g, a)
		u.GIDMap = []topology.Extent{{Inside: id(b), Outside: id(c), Count: id(b / 8)}}
	},
	func(g *topology.Graph, a, b, c int) {
		userOf(g, a).UIDMap = []topology.Extent{{Inside: id(b), Outside: id(c), Count: 1}}
	},
	func(g *topology.Graph, a, b, _ int) { userOf(g, a).OwnerUID = id(b) },
	func(g *topology.Graph, a, b, _ int) { userOf(g, a).Setgroups = [...]string{"", "allow", "deny"}[b%3] },
	func(g *topology.Graph, a, _, _ int) { userOf(g, a).UIDMap = nil },
	func(g *topology.Graph, a, b, c int) {
		pick(g, a).UTS = &topology.UTSState{NodeName: text(b), DomainName: text(c)}
	},
	func(g *topology.Graph, a, b, _ int) { pick(g, a).Cgroup = &topology.CgroupState{Root: text(b)} },
	func(g *topology.Graph, a, b, c int) {
		sec := []int64{0, -1, 1, math.MaxInt64, math.MinInt64, 1 << 33}
		pick(g, a).Time = &topology.TimeState{Monotonic: topology.Offset{Sec: sec[b%len(sec)], Nsec: id(c)}}
	},
	func(g *topology.Graph, a, b, c int) {
		pick(g, a).PID = &topology.PIDState{Init: b, PIDMax: int(int32(id(c))), LastPID: int(int32(id(b)))}
	},
	func(g *topology.Graph, a, b, c int) {
		if len(g.Tasks) > 0 {
			g.Tasks[a%len(g.Tasks)].Namespaces[b%int(topology.NumLinks)] = pick(g, c)
		}
	},
	func(g *topology.Graph, a, b, c int) {
		if len(g.Tasks) > 0 {
			t := g.Tasks[a%len(g.Tasks)]
			t.NSPID = append(t.NSPID[:len(t.NSPID):len(t.NSPID)], b-c)
		}
	},
	func(g *topology.Graph, a, b, _ int) {
		if len(g.Tasks) > 0 {
			g.Tasks[a%len(g.Tasks)].TID = b
		}
	},
	func(g *topology.Graph, a, _, _ int) { pick(g, a).Owner = nil },
	func(g *topology.Graph, a, _, _ int) { pick(g, a).Parent = nil },
	func(g *topology.Graph, a, b, c int) {
		n := pick(g, a)
		n.Pins = append(n.Pins, topology.Pin{Kind: topology.PinKind(b % 12), PID: c, FD: b, Path: text(c), Mnt: pick(g, b), NS: pick(g, c)})
	},
	func(g *topology.Graph, a, b, _ int) { pick(g, a).Ino = uint64(b) },
	func(g *topology.Graph, a, b, _ int) {
		i, j := a%len(g.Namespaces), b%len(g.Namespaces)
		g.Namespaces[i], g.Namespaces[j] = g.Namespaces[j], g.Namespaces[i]
	},
	func(g *topology.Graph, a, b, _ int) {
		g.Namespaces = append(g.Namespaces, &topology.Namespace{Type: topology.User, Ino: uint64(1000 + b), Owner: pick(g, a), Parent: pick(g, a)})
	},
}

func pick(g *topology.Graph, n int) *topology.Namespace { return g.Namespaces[n%len(g.Namespaces)] }

// userOf returns the state of a user namespace.
func userOf(g *topology.Graph, n int) *topology.UserState {
	for range g.Namespaces {
		if ns := pick(g, n); ns.Type == topology.User && !ns.External && ns.User != nil {
			return ns.User
		}
		n++
	}
	return new(topology.UserState)
}
