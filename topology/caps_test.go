package topology

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// family is the user namespaces of these tests, and what they own: the initial
// one, a and its child aa and its child aaa, and b beside a. Uids are those of
// the initial one.
type family struct {
	top, a, aa, aaa, b       *Namespace
	net, netA, netAA, netAAA *Namespace
	pid, pidA, pidAA, pidB   *Namespace
	creators                 map[*Namespace]uint32
}

func newFamily() *family {
	ino := uint64(100)
	user := func(parent *Namespace) *Namespace {
		ino++
		return &Namespace{Type: User, Ino: ino, Owner: parent, Parent: parent}
	}
	owned := func(t Type, owner, parent *Namespace) *Namespace {
		ino++
		return &Namespace{Type: t, Ino: ino, Owner: owner, Parent: parent}
	}
	f := &family{top: &Namespace{Type: User, Ino: initialUser}}
	f.a = user(f.top)
	f.aa = user(f.a)
	f.aaa = user(f.aa)
	f.b = user(f.top)
	f.net, f.netA, f.netAA, f.netAAA = owned(Net, f.top, nil), owned(Net, f.a, nil), owned(Net, f.aa, nil), owned(Net, f.aaa, nil)
	f.pid = owned(PID, f.top, nil)
	f.pidA = owned(PID, f.a, f.pid)
	f.pidAA = owned(PID, f.aa, f.pidA)
	f.pidB = owned(PID, f.b, f.pid)
	f.creators = map[*Namespace]uint32{f.a: 1000, f.aa: 101000, f.aaa: 101000, f.b: 2000}
	return f
}

func (f *family) creator(n *Namespace) (uint32, bool) {
	uid, ok := f.creators[n]
	return uid, ok
}

func TestAuthorize(t *testing.T) {
	f := newFamily()
	admin, chown := CapSetOf(CapSysAdmin), CapSetOf(0)
	tests := map[string]struct {
		c        Credentials
		target   *Namespace
		held     CapSet
		raisable CapSet
		gainable CapSet
		rule     CapRule
		path     []*Namespace
	}{
		"root over the initial net": {
			c: Credentials{User: f.top, Effective: AllCaps, Permitted: AllCaps, Bounding: AllCaps}, target: f.net,
			held: AllCaps, rule: CapOwn, path: []*Namespace{f.top},
		},
		"root over what is deep": {
			c: Credentials{User: f.top, Effective: admin, Permitted: AllCaps, Bounding: AllCaps}, target: f.netAAA,
			held: admin, raisable: AllCaps &^ admin, rule: CapOwn, path: []*Namespace{f.aaa, f.aa, f.a, f.top},
		},
		"a user over the initial net": {
			c: Credentials{User: f.top, EUID: 1000, Bounding: AllCaps}, target: f.net,
			gainable: AllCaps, rule: CapOwn, path: []*Namespace{f.top},
		},
		"no_new_privs": {
			c: Credentials{User: f.top, EUID: 1000, Bounding: AllCaps, NoNewPrivs: true}, target: f.net,
			rule: CapOwn, path: []*Namespace{f.top},
		},
		"bounded": {
			c: Credentials{User: f.top, EUID: 1000, Permitted: chown, Bounding: admin | chown}, target: f.net,
			raisable: chown, gainable: admin, rule: CapOwn, path: []*Namespace{f.top},
		},
		"its own child": {
			c: Credentials{User: f.top, EUID: 1000}, target: f.netA,
			held: AllCaps, rule: CapCreator, path: []*Namespace{f.a},
		},
		"bounding set and no_new_privs take nothing from a creator": {
			c: Credentials{User: f.top, EUID: 1000, NoNewPrivs: true}, target: f.netAAA,
			held: AllCaps, rule: CapCreator, path: []*Namespace{f.aaa, f.aa, f.a},
		},
		"the child itself": {
			c: Credentials{User: f.top, EUID: 1000}, target: f.a,
			held: AllCaps, rule: CapCreator, path: []*Namespace{f.a},
		},
		"the child of another": {
			c: Credentials{User: f.top, EUID: 1000, Effective: chown, Permitted: chown}, target: f.b,
			held: chown, rule: CapOwn, path: []*Namespace{f.b, f.top},
		},
		"the creator of a grandchild": {
			// aa's parent is a, not the task's own: its creator has no say in top.
			c: Credentials{User: f.top, EUID: 101000}, target: f.netAA,
			rule: CapOwn, path: []*Namespace{f.aa, f.a, f.top},
		},
		"the creator, inside": {
			c: Credentials{User: f.a, EUID: 101000}, target: f.netAAA,
			held: AllCaps, rule: CapCreator, path: []*Namespace{f.aaa, f.aa},
		},
		"the creator has entered it": {
			// In aa the uid that created it is one like any other, but it created aaa too.
			c: Credentials{User: f.aa, EUID: 101000}, target: f.netAA,
			rule: CapOwn, path: []*Namespace{f.aa},
		},
		"upwards": {
			c: Credentials{User: f.a, EUID: 1000, Effective: AllCaps, Permitted: AllCaps, Bounding: AllCaps}, target: f.net,
			rule: CapNone, path: []*Namespace{f.top},
		},
		"aside": {
			c: Credentials{User: f.a, EUID: 2000, Effective: AllCaps, Permitted: AllCaps, Bounding: AllCaps}, target: f.b,
			rule: CapNone, path: []*Namespace{f.b, f.top},
		},
		"one's own user namespace": {
			c: Credentials{User: f.a, EUID: 1000, Effective: chown, Permitted: admin, Bounding: AllCaps}, target: f.a,
			held: chown, raisable: admin, gainable: AllCaps &^ (chown | admin), rule: CapOwn, path: []*Namespace{f.a},
		},
		"the initial user namespace, from below": {
			c: Credentials{User: f.a, EUID: 1000, Effective: AllCaps}, target: f.top,
			rule: CapNone, path: []*Namespace{f.top},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := Authorize(tt.c, tt.target, f.creator)
			want := Authority{Target: tt.target, Rule: tt.rule, Held: tt.held, Raisable: tt.raisable, Gainable: tt.gainable}
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Authority{}, "Steps"), sameNamespace); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			var path []*Namespace
			for i, s := range got.Steps {
				path = append(path, s.NS)
				if last := i == len(got.Steps)-1; last != (s.Rule != CapUp) {
					t.Errorf("step %d is %s", i, s.Rule)
				}
			}
			if diff := cmp.Diff(tt.path, path, sameNamespace); diff != "" {
				t.Errorf("path (-want +got)\n%s", diff)
			}
		})
	}
}

var sameNamespace = cmp.Comparer(func(a, b *Namespace) bool { return a == b })

// TestAuthorizePartial: what is out of sight is not taken for what is not.
func TestAuthorizePartial(t *testing.T) {
	f := newFamily()
	f.a.Parent, f.a.Owner = nil, nil // the observer is in a
	f.net.Owner = nil
	inA := Credentials{User: f.a, EUID: 1000, Effective: AllCaps}
	inSight := inA
	inSight.InSight = true
	elsewhere := Credentials{User: &Namespace{Type: User, Ino: 1}, EUID: 1000}
	tests := map[string]struct {
		c        Credentials
		target   *Namespace
		creators map[*Namespace]uint32
		held     CapSet
		rule     CapRule
		unsure   bool
	}{
		"owner out of sight":               {c: inA, target: f.net, rule: CapHidden, unsure: true},
		"owner out of sight, the task not": {c: inSight, target: f.net, rule: CapHidden},
		"decided before":                   {c: inA, target: f.netAA, creators: f.creators, held: AllCaps, rule: CapOwn},
		"a task of who knows where":        {c: elsewhere, target: f.netA, creators: f.creators, rule: CapHidden, unsure: true},
		"of an unknown user namespace":     {c: Credentials{EUID: 1000, InSight: true}, target: f.netA, creators: f.creators, rule: CapHidden, unsure: true},
		"creator unknown":                  {c: Credentials{User: f.a, Effective: 1}, target: f.netAA, held: 1, rule: CapOwn, unsure: true},
		"creator unknown, nothing to add":  {c: inA, target: f.netAA, held: AllCaps, rule: CapOwn},
		"creator unknown, elsewhere":       {c: Credentials{User: f.a, Effective: 1}, target: f.aaa, creators: map[*Namespace]uint32{f.aa: 1}, held: 1, rule: CapOwn},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := Authorize(tt.c, tt.target, func(n *Namespace) (uint32, bool) { uid, ok := tt.creators[n]; return uid, ok })
			want := Authority{Target: tt.target, Rule: tt.rule, Held: tt.held, Unsure: tt.unsure}
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Authority{}, "Steps"), sameNamespace); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestAuthorizeCycle: a graph that nobody validated is no endless question.
func TestAuthorizeCycle(t *testing.T) {
	a, b := &Namespace{Type: User, Ino: 1}, &Namespace{Type: User, Ino: 2}
	a.Parent, b.Parent = b, a
	got := Authorize(Credentials{User: &Namespace{Type: User, Ino: 3}}, a, ObservedCreator)
	if got.Held != 0 || len(got.Steps) > 2*maxWalk {
		t.Errorf("%+v", got)
	}
}

func TestObservedCreator(t *testing.T) {
	top := &Namespace{Type: User, Ino: initialUser, External: true}
	a := &Namespace{Type: User, Ino: 1, Parent: top, User: &UserState{OwnerUID: 1000, UIDMap: []Extent{{Inside: 0, Outside: 100000, Count: 65536}}}}
	aa := &Namespace{Type: User, Ino: 2, Parent: a, User: &UserState{OwnerUID: 7, UIDMap: []Extent{{Inside: 0, Outside: 5000, Count: 10}}}}
	aaa := &Namespace{Type: User, Ino: 3, Parent: aa, User: &UserState{OwnerUID: 3}}
	lost := &Namespace{Type: User, Ino: 4, Parent: aa, User: &UserState{OwnerUID: 10}}
	blind := &Namespace{Type: User, Ino: 5, Parent: lost, User: &UserState{OwnerUID: 0}}
	type answer struct {
		UID   uint32
		Known bool
	}
	for name, tt := range map[string]struct {
		n    *Namespace
		want answer
	}{
		"the observer's own":    {top, answer{}},
		"its child":             {a, answer{1000, true}},
		"its grandchild":        {aa, answer{100007, true}},
		"two maps on":           {aaa, answer{105003, true}},
		"a uid without a map":   {lost, answer{}},
		"a map without entries": {blind, answer{}},
		"a map unread":          {&Namespace{Type: User, Parent: &Namespace{Type: User, Parent: top}, User: &UserState{}}, answer{}},
	} {
		uid, known := ObservedCreator(tt.n)
		if diff := cmp.Diff(tt.want, answer{uid, known}); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}
