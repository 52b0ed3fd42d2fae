package criu

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/renest/renest/topology"
)

// judgeConnections refuses established TCP connections in a net namespace that the
// layer's user namespace does not own: to restore one takes TCP_REPAIR, and that
// CAP_NET_ADMIN in the owner of the net namespace, which the restored task has not
// (tcp_can_repair_sock, include/net/tcp.h).
func judgeConnections(l *Layer) error {
	n := l.In(topology.Net)
	if l.User().External || n == nil || n.Owner == l.User() {
		return nil
	}
	connected := map[string]bool{}
	for _, file := range []string{"tcp", "tcp6"} {
		if err := readConnected(fmt.Sprintf("/proc/%d/net/%s", l.Root.PID, file), connected); err != nil {
			return err
		}
	}
	for _, t := range l.Tasks {
		dir := fmt.Sprintf("/proc/%d/fd", t.PID)
		fds, err := os.ReadDir(dir)
		if err != nil {
			continue // ended
		}
		for _, fd := range fds {
			link, err := os.Readlink(dir + "/" + fd.Name())
			ino, ok := strings.CutPrefix(link, "socket:[")
			if err == nil && ok && connected[strings.TrimSuffix(ino, "]")] {
				return fmt.Errorf("%s has an established TCP connection (descriptor %s) in %s, which belongs to another user namespace: a restore would need CAP_NET_ADMIN there (\"Can't turn TCP repair mode ON\")", who(t), fd.Name(), n.Name())
			}
		}
	}
	return nil
}

// readConnected adds the inodes of the sockets in a file of /proc/PID/net that are
// neither listening nor closed.
func readConnected(path string, inodes map[string]bool) error {
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil // no IPv6, or the task has ended
	}
	if err != nil {
		return err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// sl local remote state queues timer retransmits uid timeout inode
		field := strings.Fields(lines.Text())
		if len(field) < 10 {
			continue
		}
		switch state, _ := strconv.ParseUint(field[3], 16, 8); state {
		case 0, 7, 10: // the heading, TCP_CLOSE, TCP_LISTEN
		default:
			inodes[field[9]] = true
		}
	}
	return nil
}
