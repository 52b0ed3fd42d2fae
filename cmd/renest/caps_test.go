package main

import (
	"bytes"
	"testing"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/topology"
)

// actor is the answer for a task in the sample's host, or elsewhere.
func actor(c topology.Credentials, target *topology.Namespace) *dump.Actor {
	a := &dump.Actor{PID: 4711, TID: 4711, Start: 52340, Comm: "evil\x1b[2J", State: 'S', Securebits: -1}
	a.Joiner = topology.Joiner{Credentials: c, Threads: 1}
	a.Authority = topology.Authorize(c, target, topology.ObservedCreator)
	a.Join = a.CanJoin(a.Authority)
	return a
}

// TestCapsText draws each kind of answer.
func TestCapsText(t *testing.T) {
	g := sample()
	var host, outer, inner, net, hidden *topology.Namespace
	for _, n := range g.Namespaces {
		switch {
		case n.Type == topology.Net:
			net = n
		case n.Type == topology.User && n.External:
			host = n
		case n.Type == topology.User && n.Owner == host:
			outer = n
		case n.Type == topology.User:
			inner = n
		}
	}
	hidden = &topology.Namespace{Type: topology.Mnt, Ino: 4026530000}
	admin := topology.CapSetOf(topology.CapSysAdmin)
	user := topology.Credentials{User: host, EUID: 1000, Bounding: topology.AllCaps, InSight: true}
	bounded := user
	bounded.Permitted, bounded.NoNewPrivs = admin, true
	threads := actor(topology.Credentials{User: host, Effective: topology.AllCaps, Permitted: topology.AllCaps, Bounding: topology.AllCaps}, inner)
	threads.Threads = 3
	threads.Join = threads.CanJoin(threads.Authority)
	noted := actor(topology.Credentials{User: inner, EUID: 7, Effective: admin, Permitted: admin}, hidden)
	noted.State, noted.Seccomp, noted.Securebits = 'Z', true, 5
	for name, a := range map[string]*dump.Actor{
		"caps-own":     actor(topology.Credentials{User: outer, EUID: 100000, Effective: admin, Permitted: topology.AllCaps, Bounding: topology.AllCaps}, net),
		"caps-creator": actor(topology.Credentials{User: host, InSight: true}, net),
		"caps-user":    actor(user, net),
		"caps-bounded": actor(bounded, net),
		"caps-none":    actor(topology.Credentials{User: inner, EUID: 101000, Effective: topology.AllCaps, InSight: true}, host),
		"caps-itself":  actor(topology.Credentials{User: inner, EUID: 101000, Effective: topology.AllCaps, InSight: true}, inner),
		"caps-threads": threads,
		"caps-hidden":  noted,
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := writeActor(&out, a); err != nil {
				t.Fatal(err)
			}
			if err := writeJSON(&out, newActorJSON(a)); err != nil {
				t.Fatal(err)
			}
			golden(t, name, "caps", result{Stdout: out.String()})
		})
	}
}
