package restore

import (
	"fmt"
	"os"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/renest/renest/topology"
)

// ociTypes has what the runtime spec calls each type, in the order in which it
// lists them.
var ociTypes = []struct {
	typ  topology.Type
	name specs.LinuxNamespaceType
}{
	{topology.User, specs.UserNamespace},
	{topology.PID, specs.PIDNamespace},
	{topology.Net, specs.NetworkNamespace},
	{topology.IPC, specs.IPCNamespace},
	{topology.UTS, specs.UTSNamespace},
	{topology.Cgroup, specs.CgroupNamespace},
	{topology.Time, specs.TimeNamespace},
}

// OCI returns the tree as an OCI runtime has it in linux.namespaces of its
// config.json, so that a container it makes runs in there: the namespaces of the
// holder of a pid namespace, as far as they are not the caller's own. Pid is the
// name of that namespace, in the image or as it is now; empty, it is the innermost.
//
// The container has a mount namespace of its own, in which its root file system is:
// no path goes with that. It wants the rights that entering takes, see setns(2).
func (t *Tree) OCI(pid string) ([]specs.LinuxNamespace, error) {
	holder, err := t.holder(pid)
	if err != nil {
		return nil, err
	}
	list := []specs.LinuxNamespace{{Type: specs.MountNamespace}}
	for _, o := range ociTypes {
		path := fmt.Sprintf("/proc/%d/ns/%s", holder.PID, o.typ)
		live, err := os.Readlink(path)
		if os.IsNotExist(err) && holder.alive() {
			continue // this kernel has no such type
		}
		if err != nil {
			return nil, fmt.Errorf("holder %d of %s: %w", holder.PID, t.Name, err)
		}
		if own, err := os.Readlink("/proc/self/ns/" + o.typ.String()); err == nil && own == live {
			continue
		}
		list = append(list, specs.LinuxNamespace{Type: o.name, Path: t.pinOf(live, path)})
	}
	if !holder.alive() { // then these are another's
		return nil, fmt.Errorf("holder %d of %s is gone: take the tree down (renest rm %s)", holder.PID, t.Name, t.Name)
	}
	return list, nil
}

// holder returns the holder of a pid namespace, the innermost for none.
func (t *Tree) holder(pid string) (Process, error) {
	number := t.Innermost
	if pid != "" {
		i := slices.IndexFunc(t.Namespaces, func(b Binding) bool { return b.Image == pid || b.Live == pid })
		if i < 0 {
			return Process{}, fmt.Errorf("%s restored no namespace %s", t.Name, pid)
		}
		number = t.Namespaces[i].PID
	}
	for _, h := range t.Holders {
		if h.PID == number && number != 0 {
			return h, nil
		}
	}
	if pid != "" {
		return Process{}, fmt.Errorf("%s: no holder is in it: a container goes where one is", pid)
	}
	return Process{}, fmt.Errorf("%s has no holder: no pid namespace of it is alive", t.Name)
}

// pinOf returns the bind mount of a namespace, where there is one: its path does
// not depend on a process.
func (t *Tree) pinOf(live, otherwise string) string {
	if t.Pins == nil {
		return otherwise
	}
	for _, m := range t.Pins.Mounts {
		if m.Live == live && shows(m.Path, live) == nil {
			return m.Path
		}
	}
	return otherwise
}
