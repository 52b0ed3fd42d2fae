package restore_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/renest/renest/restore"
	"github.com/renest/renest/topology"
)

// bound adds bind mounts to a namespace.
func bound(n *topology.Namespace, mnt *topology.Namespace, paths ...string) *topology.Namespace {
	for _, p := range paths {
		n.Pins = append(n.Pins, topology.Pin{Kind: topology.PinBind, Path: p, Mnt: mnt})
	}
	return n
}

func TestPlanPins(t *testing.T) {
	user, _, _ := outer()
	mnt := &topology.Namespace{Type: topology.Mnt, Ino: 4, External: true, Owner: user}
	inner := &topology.Namespace{Type: topology.Mnt, Ino: 20, Owner: user}
	net := func() *topology.Namespace { return &topology.Namespace{Type: topology.Net, Ino: 21, Owner: user} }
	uts := func() *topology.Namespace { return &topology.Namespace{Type: topology.UTS, Ino: 22, Owner: user} }
	blue := "/run/netns/blue"
	for _, tt := range []struct {
		name  string
		list  []*topology.Namespace
		pins  restore.PinOptions
		want  []string
		notes []string
		err   []string
	}{
		{
			name: "not asked for", list: []*topology.Namespace{bound(net(), mnt, blue)},
			notes: []string{`net:[21]: it was bind-mounted at "/run/netns/blue", and is not (see --pin and --pins)`},
		},
		{
			name: "where they were", list: []*topology.Namespace{bound(net(), mnt, blue, "/x", blue), uts()}, pins: restore.PinOptions{Original: true},
			want: []string{"net:[21] / /run/netns/blue", "net:[21] / /x"},
		},
		{
			name: "below a folder", list: []*topology.Namespace{bound(net(), mnt, blue), uts()}, pins: restore.PinOptions{Dir: "/srv/pins"},
			want: []string{"net:[21] /srv/pins /srv/pins/run/netns/blue"},
		},
		{
			name: "all", list: []*topology.Namespace{inner, bound(net(), mnt, blue), bound(uts(), inner, "/a", "/b")}, pins: restore.PinOptions{Dir: "/", All: true},
			want:  []string{"mnt:[20] / /mnt/20", "net:[21] / /run/netns/blue", "uts:[22] / /uts/22"},
			notes: []string{`uts:[22]: its bind mount "/a" comes back with what is in mnt:[20], which is CRIU's and the runtime's`},
		},
		{
			name: "two at one place", list: []*topology.Namespace{bound(net(), mnt, blue), bound(uts(), mnt, blue)}, pins: restore.PinOptions{Original: true},
			err: []string{"uts:[22]: it was bind-mounted at /run/netns/blue, like net:[21]: only one of them can be"},
		},
		{
			name: "odd paths", pins: restore.PinOptions{Dir: "/srv"},
			list: []*topology.Namespace{bound(net(), mnt,
				"/run/../../etc/x", "run/x", "/", "", "/a//b", "/a/", "/./a", "/a\nb", "/a\x1b[31m", "/a\xff", "/a\u0085b",
				"/"+strings.Repeat("n", 256), strings.Repeat("/n", 2048), "/a b/ç")},
			err: []string{
				`net:[21]: its bind mount: path "/run/../../etc/x": want an absolute one that does not climb`,
				`net:[21]: its bind mount: path "run/x": want an absolute one that does not climb`,
				`net:[21]: its bind mount: path "/": want an absolute one that does not climb`,
				`net:[21]: its bind mount: path "": want an absolute one that does not climb`,
				`net:[21]: its bind mount: path "/a//b": want an absolute one that does not climb`,
				`net:[21]: its bind mount: path "/a/": want an absolute one that does not climb`,
				`net:[21]: its bind mount: path "/./a": want an absolute one that does not climb`,
				`net:[21]: its bind mount: path "/a\nb": has characters that no name should`,
				`net:[21]: its bind mount: path "/a\x1b[31m": has characters that no name should`,
				`net:[21]: its bind mount: path "/a\xff": has characters that no name should`,
				`net:[21]: its bind mount: path "/a\u0085b": has characters that no name should`,
				`net:[21]: its bind mount: path "/` + strings.Repeat("n", 39) + `"…: a name in it is longer than 255 bytes`,
				`net:[21]: its bind mount: path "` + strings.Repeat("/n", 20) + `"…: longer than 4095 bytes`,
			},
		},
		{
			name: "both", pins: restore.PinOptions{Dir: "/srv", Original: true},
			err: []string{"bind mounts come back either where they were or below a folder"},
		},
		{name: "all of them where", pins: restore.PinOptions{All: true}, err: []string{"to bind all namespaces takes a folder to do so in"}},
		{name: "where is that", pins: restore.PinOptions{Dir: "srv"}, err: []string{`pin folder "srv": want an absolute path`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := graphOf(append([]*topology.Namespace{user, mnt}, tt.list...)...)
			p, err := restore.NewPlan(g, restore.PlanOptions{Privileged: true, Pins: tt.pins})
			if diff := cmp.Diff(tt.err, reasons(err)); diff != "" {
				t.Fatalf("reasons (-want +got):\n%s", diff)
			}
			if err != nil {
				return
			}
			var got []string
			for _, pin := range p.Pins {
				got = append(got, pin.NS.Name()+" "+pin.Dir+" "+pin.Path)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("pins (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.notes, p.Notes); diff != "" {
				t.Errorf("notes (-want +got):\n%s", diff)
			}
		})
	}
}
