package restore

import "github.com/renest/renest/topology"

// Capabilities that steps take, by their numbers in linux/capability.h.
const (
	capSetGID      topology.Cap = 6
	capSetUID      topology.Cap = 7
	capSetPCap     topology.Cap = 8
	capNetAdmin    topology.Cap = 12
	capSysResource topology.Cap = 24
	capSysTime     topology.Cap = 25
	capSetFCap     topology.Cap = 31
)

// Takes returns, for each step, the capabilities that it takes in the caller's own
// user namespace. What a step does in a user namespace that the plan makes takes
// none there: whoever made that has all of them in it.
func (p *Plan) Takes() []topology.CapSet {
	in := make([]*topology.Namespace, p.Agents) // each agent's user namespace; nil: the caller's
	list := make([]topology.CapSet, len(p.Steps))
	for i, s := range p.Steps {
		list[i] = s.takes(in[s.By])
		switch s.Op {
		case OpFork:
			in[s.New] = in[s.By]
			for _, n := range s.Creates {
				if n.Type == topology.User {
					in[s.New] = n
				}
			}
		case OpJoin:
			if s.NS.Type == topology.User && !s.NS.External {
				in[s.By] = s.NS
			}
		}
	}
	return list
}

// takes returns what s takes of an agent in user, which is nil for the caller's own.
func (s Step) takes(user *topology.Namespace) topology.CapSet {
	switch s.Op {
	case OpFork, OpUnshare:
		// Where a user namespace is among them it is made first, and owns the others
		// (create_new_namespaces, kernel/nsproxy.c).
		for _, n := range s.Creates {
			if n.Type == topology.User {
				return 0
			}
		}
		if len(s.Creates) > 0 && user == nil {
			return topology.CapSetOf(topology.CapSysAdmin)
		}
	case OpMap:
		if s.NS.Parent.External {
			return s.takesMaps()
		}
	case OpIDs:
		if user == nil && s.UID != 0 {
			return topology.CapSetOf(capSetUID, capSetGID, capSetPCap)
		}
		if user == nil {
			return topology.CapSetOf(capSetUID, capSetGID)
		}
	case OpName:
		return ofOwner(s.NS, topology.CapSysAdmin)
	case OpSet:
		if s.NS.Type == topology.Net {
			return ofOwner(s.NS, capNetAdmin)
		}
		if s.NS.Type == topology.PID {
			return ofOwner(s.NS, topology.CapSysAdmin)
		}
	case OpClock:
		return ofOwner(s.NS, capSysTime)
	case OpJoin:
		if s.NS.Type == topology.Mnt {
			return ofOwner(s.NS, topology.CapSysAdmin, topology.CapSysChroot)
		}
		if s.NS.Type != topology.User {
			return ofOwner(s.NS, topology.CapSysAdmin)
		}
	}
	return 0
}

// ofOwner returns caps where n is the caller's own user namespace's.
func ofOwner(n *topology.Namespace, caps ...topology.Cap) topology.CapSet {
	if n.Owner != nil && !n.Owner.External {
		return 0
	}
	return topology.CapSetOf(caps...)
}

// takesMaps returns what the writing of maps takes from the parent user namespace
// (new_idmap_permitted and verify_root_map, kernel/user_namespace.c).
func (s Step) takesMaps() topology.CapSet {
	var set topology.CapSet
	u := s.NS.User
	if len(u.UIDMap) > 0 && !s.UIDHelper && !ownID(u.UIDMap, u.OwnerUID) {
		set |= topology.CapSetOf(capSetUID)
	}
	if len(u.GIDMap) > 0 && !s.GIDHelper && (!ownID(u.GIDMap, u.OwnerUID) || u.Setgroups != "deny") {
		set |= topology.CapSetOf(capSetGID)
	}
	for _, e := range u.UIDMap {
		if e.Outside == 0 && !s.UIDHelper {
			set |= topology.CapSetOf(capSetFCap)
		}
	}
	return set
}

// ownID reports whether m maps but the one id that the writer itself has.
func ownID(m []topology.Extent, id uint32) bool {
	return len(m) == 1 && m[0].Count == 1 && m[0].Outside == id
}
