package restore_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/renest/renest/restore"
	"github.com/renest/renest/topology"
)

// one maps one id, whole all that there are.
var (
	one = func(inside, outside uint32) []topology.Extent {
		return []topology.Extent{{Inside: inside, Outside: outside, Count: 1}}
	}
	whole = []topology.Extent{{Count: topology.NoID}}
)

// outer returns the caller's own user, pid and net namespaces.
func outer() (user, pid, net *topology.Namespace) {
	user = &topology.Namespace{Type: topology.User, Ino: 1, External: true}
	pid = &topology.Namespace{Type: topology.PID, Ino: 2, External: true, Owner: user}
	net = &topology.Namespace{Type: topology.Net, Ino: 3, External: true, Owner: user}
	return user, pid, net
}

func below(user *topology.Namespace, ino uint64, state topology.UserState) *topology.Namespace {
	return &topology.Namespace{Type: topology.User, Ino: ino, Owner: user, Parent: user, User: &state}
}

func graphOf(list ...*topology.Namespace) *topology.Graph {
	return &topology.Graph{Header: topology.Header{Complete: true}, Namespaces: list}
}

// reasons splits a joined error.
func reasons(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

// roots and ordinary are hosts that have nothing against most plans.
func roots() *restore.Host {
	h := &restore.Host{
		Privileged: true, UIDMap: whole, GIDMap: whole, Files: 1 << 20,
		Types: map[topology.Type]bool{}, Max: map[topology.Type]int{},
	}
	for _, t := range topology.Types {
		h.Types[t], h.Max[t] = true, 1000
	}
	return h
}

func ordinary() *restore.Host {
	h := roots()
	h.UID, h.GID, h.Privileged = simUID, simGID, false
	return h
}

func TestPreflight(t *testing.T) {
	user, pid, net := outer()
	mine := topology.UserState{OwnerUID: simUID, UIDMap: one(0, simUID), GIDMap: one(0, simGID), Setgroups: "deny"}
	with := func(change func(*topology.UserState)) topology.UserState {
		s := mine
		change(&s)
		return s
	}
	netOf := func(owner *topology.Namespace, ino uint64) *topology.Namespace {
		return &topology.Namespace{Type: topology.Net, Ino: ino, Owner: owner}
	}
	u := below(user, 10, mine)
	for _, tt := range []struct {
		name  string
		graph *topology.Graph
		host  *restore.Host
		tweak func(*restore.Host)
		want  []string
	}{
		{name: "root", graph: graphOf(user, pid, net, u, netOf(u, 11), netOf(user, 12)), host: roots()},
		{name: "user", graph: graphOf(user, pid, net, u, netOf(u, 11)), host: ordinary()},
		{name: "user, no maps", graph: graphOf(user, below(user, 10, topology.UserState{OwnerUID: simUID, Setgroups: "allow"})), host: ordinary()},
		{
			name: "kernel without", graph: graphOf(user, u, netOf(u, 11)), host: roots(),
			tweak: func(h *restore.Host) { h.Types[topology.Net] = false },
			want:  []string{"this kernel has no net namespaces, the image has 1: boot a kernel built with them"},
		},
		{
			name: "limit", graph: graphOf(user, u, netOf(u, 11), netOf(u, 12)), host: roots(),
			tweak: func(h *restore.Host) { h.Max[topology.Net] = 1 },
			want:  []string{"user.max_net_namespaces is 1, the image needs 2: sysctl -w user.max_net_namespaces=2, or more"},
		},
		{
			name: "limit unknown", graph: graphOf(user, u), host: roots(),
			tweak: func(h *restore.Host) { delete(h.Max, topology.User) },
		},
		{
			name: "files", graph: graphOf(user, u), host: roots(),
			tweak: func(h *restore.Host) { h.Files = 5 },
			want:  []string{"the limit of open files is 5, the restore needs 20: raise it (ulimit -Hn 20)"},
		},
		{
			name: "not a user's to make", graph: graphOf(user, net, netOf(user, 11)), host: ordinary(),
			want: []string{"net:[11] belongs to the outermost user namespace: making it needs CAP_SYS_ADMIN there: restore as root"},
		},
		{
			name: "another's", graph: graphOf(user, below(user, 10, with(func(s *topology.UserState) { s.OwnerUID = 5 }))), host: ordinary(),
			want: []string{"user:[10] belongs to uid 5, and you are uid 1000: restore as that user, or as root, or move its ids (--id-range)"},
		},
		{
			name: "another's ids", host: ordinary(),
			graph: graphOf(user, below(user, 10, with(func(s *topology.UserState) {
				s.UIDMap, s.GIDMap = one(0, 5), []topology.Extent{{Outside: simGID, Count: 2}}
			}))),
			want: []string{
				"user:[10] maps uids 0 5 1, which are not yours (you have 1000): restore as root, have them lent to you in /etc/subuid, or move them (--id-range)",
				"user:[10] maps gids 0 1001 2, which are not yours (you have 1001): restore as root, have them lent to you in /etc/subgid, or move them (--id-range)",
			},
		},
		{
			name: "setgroups", graph: graphOf(user, below(user, 10, with(func(s *topology.UserState) { s.Setgroups = "allow" }))), host: ordinary(),
			want: []string{"user:[10] allows setgroups, which an ordinary user's namespace must not: restore as root"},
		},
		{
			name: "ids that are not here", host: roots(),
			graph: graphOf(user, below(user, 10, topology.UserState{
				OwnerUID: 70000, UIDMap: []topology.Extent{{Outside: 65000, Count: 1000}}, GIDMap: one(0, 65536), Setgroups: "deny",
			})),
			tweak: func(h *restore.Host) {
				h.UIDMap, h.GIDMap = []topology.Extent{{Count: 65536}}, []topology.Extent{{Count: 65536}}
			},
			want: []string{
				"user:[10] belongs to uid 70000, which your user namespace does not have: restore from one that has it",
				"user:[10] maps uids 0 65000 1000, which your user namespace does not have: restore from one that has them",
				"user:[10] maps gids 0 65536 1, which your user namespace does not have: restore from one that has them",
			},
		},
		{
			// map_write wants an extent inside one of the parent's.
			name: "over a seam", host: roots(),
			graph: graphOf(user, below(user, 10, topology.UserState{UIDMap: []topology.Extent{{Outside: 5, Count: 10}}, Setgroups: "deny"})),
			tweak: func(h *restore.Host) { h.UIDMap = []topology.Extent{{Count: 10}, {Inside: 10, Outside: 10, Count: 10}} },
			want:  []string{"user:[10] maps uids 0 5 10, which your user namespace does not have: restore from one that has them"},
		},
		{
			name: "all at once", graph: graphOf(user, net, below(user, 10, with(func(s *topology.UserState) { s.OwnerUID = 5 })), netOf(user, 11)), host: ordinary(),
			tweak: func(h *restore.Host) { h.Max[topology.Net], h.Files = 0, 1 },
			want: []string{
				"user:[10] belongs to uid 5, and you are uid 1000: restore as that user, or as root, or move its ids (--id-range)",
				"net:[11] belongs to the outermost user namespace: making it needs CAP_SYS_ADMIN there: restore as root",
				"user.max_net_namespaces is 0, the image needs 1: sysctl -w user.max_net_namespaces=1, or more",
				"the limit of open files is 1, the restore needs 21: raise it (ulimit -Hn 21)",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.graph.Validate(); err != nil {
				t.Fatal(err)
			}
			if tt.tweak != nil {
				tt.tweak(tt.host)
			}
			p, err := restore.NewPlan(tt.graph, tt.host.PlanOptions())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, reasons(restore.Preflight(p, tt.host))); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
		})
	}
}

// TestPreflightIsBounded wants an image's million faults in a few lines.
func TestPreflightIsBounded(t *testing.T) {
	user, _, net := outer()
	g := graphOf(user, net)
	for i := range uint64(100) {
		g.Namespaces = append(g.Namespaces, &topology.Namespace{Type: topology.Net, Ino: 100 + i, Owner: user})
	}
	p, err := restore.NewPlan(g, restore.PlanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got := reasons(restore.Preflight(p, ordinary()))
	if len(got) != 21 || got[20] != "… and 80 more" {
		t.Errorf("%d reasons, the last %q", len(got), got[len(got)-1])
	}
}

// TestNewPlanRefuses has graphs that are valid, and that nothing can be made of.
func TestNewPlanRefuses(t *testing.T) {
	user, pid, net := outer()
	state := topology.UserState{UIDMap: whole, GIDMap: whole, Setgroups: "allow"}
	partial := func(list ...*topology.Namespace) *topology.Graph {
		g := graphOf(list...)
		g.Header.Complete = false
		return g
	}
	unread := below(user, 10, state)
	unread.User = nil
	inner := &topology.Namespace{Type: topology.User, Ino: 5, External: true, Owner: user, Parent: user}
	for _, tt := range []struct {
		name  string
		graph *topology.Graph
		want  []string
	}{
		{"owner out of sight", partial(user, net, &topology.Namespace{Type: topology.Net, Ino: 11}), []string{
			"net:[11]: its owner was out of sight when it was dumped: dump again with the privileges to see it",
		}},
		{"parent out of sight", partial(user, pid, &topology.Namespace{Type: topology.PID, Ino: 11, Owner: user}), []string{
			"pid:[11]: its parent was out of sight when it was dumped: dump again with the privileges to see it",
		}},
		{"maps unread", partial(user, unread), []string{"user:[10]: its id maps could not be read when it was dumped"}},
		{"several externals", graphOf(user, inner, net, &topology.Namespace{Type: topology.Net, Ino: 11, Owner: user}, below(inner, 10, state)), []string{
			"net:[11]: user:[1] is one of several external namespaces of its type, and only one can stand for the caller's own",
		}},
		{"all at once", partial(user, pid, &topology.Namespace{Type: topology.PID, Ino: 11}, &topology.Namespace{Type: topology.Net, Ino: 12}), []string{
			"pid:[11]: its owner was out of sight when it was dumped: dump again with the privileges to see it",
			"net:[12]: its owner was out of sight when it was dumped: dump again with the privileges to see it",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.graph.Validate(); err != nil {
				t.Fatal(err)
			}
			p, err := restore.NewPlan(tt.graph, restore.PlanOptions{Privileged: true})
			if diff := cmp.Diff(tt.want, reasons(err)); diff != "" || p != nil {
				t.Errorf("plan %v, reasons (-want +got):\n%s", p, diff)
			}
		})
	}
}

// TestPlanReads wants what --dry-run prints to be understood.
func TestPlanReads(t *testing.T) {
	user, pid, _ := outer()
	u := below(user, 10, topology.UserState{OwnerUID: 7, UIDMap: one(0, 7), GIDMap: one(0, 8), Setgroups: "deny"})
	own := &topology.Namespace{Type: topology.PID, Ino: 11, Owner: u, Parent: pid}
	uts := &topology.Namespace{Type: topology.UTS, Ino: 12, Owner: u, UTS: &topology.UTSState{NodeName: "ship"}}
	later := &topology.Namespace{Type: topology.Time, Ino: 13, Owner: u, Time: &topology.TimeState{Monotonic: topology.Offset{Sec: 60}}}
	g := graphOf(user, pid, u, own, uts, later)
	p, err := restore.NewPlan(g, restore.PlanOptions{Privileged: true})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range p.Steps {
		if got = append(got, s.String()); s.Why == "" {
			t.Errorf("no reason: %s", s)
		}
	}
	want := []string{
		"agent 0 forks agent 1",
		"agent 1 becomes uid 7, gid 0 of user:[1]",
		"agent 1 forks agent 2 into new user:[10] pid:[11]",
		"agent 0 writes the maps of user:[10]: uid 0 7 1 gid 0 8 1 setgroups denied",
		"agent 2 becomes uid 0, gid 0 of user:[10]",
		"agent 2 forks agent 3 into new uts:[12]",
		`agent 3 names uts:[12] "ship"`,
		"agent 3 unshares into new time:[13]",
		"agent 3 sets the clocks of time:[13]",
		"agent 3 ends",
		"agent 1 ends",
		"agent 2 stays",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	made := []*topology.Namespace{u, own, uts, later}
	if got := p.Made(); !cmp.Equal(namesOf(made), namesOf(got)) {
		t.Errorf("made %v", namesOf(got))
	}
	if got := namesOf(p.Keep); !cmp.Equal([]string{"uts:[12]", "time:[13]"}, got) {
		t.Errorf("kept %v", got)
	}
}

func namesOf(list []*topology.Namespace) (names []string) {
	for _, n := range list {
		names = append(names, n.Name())
	}
	return names
}
