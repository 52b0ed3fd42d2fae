package criu

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/renest/renest/topology"
)

// devices lists the network devices that a process sees, without those that the kernel
// puts into every net namespace (fb_tunnels_only_for_init_net, net/core/sysctl.c).
func devices(pid int) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", pid))
	if err != nil {
		return nil, err
	}
	given := []string{"lo", "tunl0", "sit0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "ip6tnl0", "ip6gre0"}
	var list []string
	for line := range strings.Lines(string(text)) {
		name, _, ok := strings.Cut(strings.TrimSpace(line), ":") // not so the headings
		if ok && !slices.Contains(given, name) {
			list = append(list, name)
		}
	}
	return list, nil
}

// judgeDevices refuses devices that would be lost: inside a user namespace CRIU makes
// the other end of a veth where it runs, in a net namespace that ends with it.
func judgeDevices(l *Layer) error {
	n := l.In(topology.Net)
	if l.User().External || n == nil || n.External || l.Joins(n) {
		return nil
	}
	list, err := devices(l.Root.PID)
	if err != nil {
		return err
	}
	if len(list) > 0 {
		return fmt.Errorf("%s of %s has %s: in a user namespace CRIU restores no device but lo; take it out (ip link set %s netns …) and put it back after the restore", n.Name(), who(l.Root), strings.Join(list, ", "), list[0])
	}
	return nil
}

// lostDevices says what is in the net namespaces that CRIU is handed, and not saved.
func lostDevices(l *Layer) []string {
	var notes []string
	for _, n := range l.Outside {
		i := slices.IndexFunc(l.Tasks, func(t *topology.Task) bool { return t.Namespaces[topology.InNet] == n })
		if list, err := devices(l.Tasks[i].PID); err == nil && len(list) > 0 {
			notes = append(notes, fmt.Sprintf("not saved of %s, which belongs to %s: %s", n.Name(), n.Owner.Name(), strings.Join(list, ", ")))
		}
	}
	return notes
}
