package topology

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// The JSON form is stable: fields are added, never renamed. Namespaces are
// referred to by name. Lists are never null. Null stands for what exists and was not
// read: an owner, a parent, a state, a task's link. Of what could not be seen there is a
// line in missing; the state of an external namespace is not asked for, nor any in a
// graph without state. What cannot exist, such as the parent of a net namespace, is
// left out.

var pinNames = [...]string{
	PinTask:            "task",
	PinThread:          "thread",
	PinPIDForChildren:  "pid_for_children",
	PinTimeForChildren: "time_for_children",
	PinFD:              "fd",
	PinBind:            "bind",
	PinSocket:          "socket",
	PinChild:           "child",
	PinOwned:           "owned",
	PinInFlight:        "in_flight",
}

// String returns the kind's name, as in JSON.
func (k PinKind) String() string {
	if k == 0 || int(k) >= len(pinNames) {
		return fmt.Sprintf("pin(%d)", uint8(k))
	}
	return pinNames[k]
}

// null is a value that is known to be unknown; a nil one is left out.
var null = json.RawMessage("null")

// MarshalJSON returns the header as an object.
func (h Header) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Version  int      `json:"version"`
		Tool     string   `json:"tool"`
		Created  string   `json:"created"`
		Hostname string   `json:"hostname"`
		BootID   string   `json:"boot_id"`
		Kernel   string   `json:"kernel"`
		Source   string   `json:"source"`
		Root     int      `json:"root,omitempty"` // of a tree; absent for a whole host
		Complete bool     `json:"complete"`
		Missing  []string `json:"missing"`

		Clocks *TimeState `json:"clocks,omitempty"`
	}{
		h.Version, h.Tool, h.Created.UTC().Format(time.RFC3339), h.Hostname, h.BootID,
		h.Kernel, h.Source, h.Root, h.Complete, list(h.Missing), h.Clocks,
	})
}

// MarshalJSON returns the graph as an object of header, namespaces and tasks.
func (g *Graph) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Header     Header       `json:"header"`
		Namespaces []*Namespace `json:"namespaces"`
		Tasks      []*Task      `json:"tasks"`
	}{g.Header, list(g.Namespaces), list(g.Tasks)})
}

// MarshalJSON returns the namespace as an object that names its owner, its
// parent and the others it refers to.
func (n *Namespace) MarshalJSON() ([]byte, error) {
	out := struct {
		Name     string  `json:"name"`
		Type     string  `json:"type"`
		Ino      uint64  `json:"ino"`
		ID       uint64  `json:"nsid"`
		Owner    *string `json:"owner"`
		Parent   any     `json:"parent,omitempty"`
		OwnerUID any     `json:"owner_uid,omitempty"`
		State    string  `json:"state"`
		External bool    `json:"external"`
		Pins     []Pin   `json:"pins"`
		User     any     `json:"user,omitempty"`
		UTS      any     `json:"uts,omitempty"`
		IPC      any     `json:"ipc,omitempty"`
		Net      any     `json:"net,omitempty"`
		Time     any     `json:"time,omitempty"`
		Cgroup   any     `json:"cgroup,omitempty"`
		PID      any     `json:"pid,omitempty"`
	}{
		Name: n.Name(), Type: n.Type.String(), Ino: n.Ino, ID: n.ID, Owner: nameOrNull(n.Owner),
		State: n.State.String(), External: n.External, Pins: list(n.Pins),
	}
	if n.Type.HasParent() {
		out.Parent = known(nameOrNull(n.Parent))
	}
	switch n.Type {
	case User:
		out.User, out.OwnerUID = known(n.User), null
		if n.User != nil {
			out.OwnerUID = n.User.OwnerUID
		}
	case UTS:
		out.UTS = known(n.UTS)
	case IPC:
		out.IPC = known(n.IPC)
	case Net:
		out.Net = known(n.Net)
	case Time:
		out.Time = known(n.Time)
	case Cgroup:
		out.Cgroup = known(n.Cgroup)
	case PID:
		out.PID = known(n.PID)
	}
	return json.Marshal(out)
}

// MarshalJSON returns the state without the creator's uid, which a namespace
// has beside its owner.
func (u UserState) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		UIDMap    []Extent `json:"uid_map"`
		GIDMap    []Extent `json:"gid_map"`
		ProjIDMap []Extent `json:"projid_map"`
		Setgroups string   `json:"setgroups"`
		Sysctls   Sysctls  `json:"sysctls"`
	}{list(u.UIDMap), list(u.GIDMap), list(u.ProjIDMap), u.Setgroups, u.Sysctls})
}

// MarshalJSON returns the pin as an object with the fields that its kind has. It
// is put together by hand, since a host has tens of thousands.
func (p Pin) MarshalJSON() ([]byte, error) {
	b := append(make([]byte, 0, 96), `{"kind":"`...)
	b = append(append(b, p.Kind.String()...), '"')
	number := func(field string, n int) {
		b = strconv.AppendInt(append(b, field...), int64(n), 10)
	}
	if p.PID != 0 {
		number(`,"pid":`, p.PID)
	}
	if p.TID != p.PID && p.TID != 0 {
		number(`,"tid":`, p.TID)
	}
	switch p.Kind {
	case PinFD, PinSocket, PinInFlight:
		number(`,"fd":`, p.FD) // 0 is one like any other
	}
	if p.Path != "" {
		path, err := json.Marshal(p.Path)
		if err != nil {
			return nil, err
		}
		b = append(append(b, `,"path":`...), path...)
	}
	if p.Kind == PinBind {
		b = appendNameOrNull(append(b, `,"mnt":`...), p.Mnt)
	}
	if p.NS != nil {
		b = appendNameOrNull(append(b, `,"ns":`...), p.NS)
	}
	return append(b, '}'), nil
}

// appendNameOrNull appends the name of a namespace, which has no character that
// JSON escapes.
func appendNameOrNull(b []byte, n *Namespace) []byte {
	if n == nil {
		return append(b, null...)
	}
	return append(n.AppendName(append(b, '"')), '"')
}

// MarshalJSON returns the task as an object, with a tid if it is a thread.
func (t *Task) MarshalJSON() ([]byte, error) {
	out := struct {
		PID        int    `json:"pid"`
		TID        int    `json:"tid,omitempty"`
		NSPID      []int  `json:"nspid"`
		Comm       string `json:"comm"`
		Namespaces links  `json:"namespaces"`
	}{PID: t.PID, NSPID: list(t.NSPID), Comm: t.Comm, Namespaces: t.Namespaces}
	if t.thread() {
		out.TID = t.TID
	}
	return json.Marshal(out)
}

type links [NumLinks]*Namespace

// MarshalJSON returns an object with a field for each file of /proc/PID/ns.
func (l links) MarshalJSON() ([]byte, error) {
	b := append(make([]byte, 0, 320), '{')
	for i, n := range l {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), Link(i).String()...), `":`...)
		b = appendNameOrNull(b, n)
	}
	return append(b, '}'), nil
}

// list returns l, and an empty list for a nil one.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// known returns what p points to, or null.
func known[T any](p *T) any {
	if p == nil {
		return null
	}
	return p
}

func nameOrNull(n *Namespace) *string {
	if n == nil {
		return nil
	}
	s := n.Name()
	return &s
}
