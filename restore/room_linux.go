package restore

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// readRoom reads what limits the number of processes: of the user, of the cgroups
// that the caller is in, and of the kernel.
func (h *Host) readRoom() error {
	if err := h.readUsersRoom(); err != nil {
		return err
	}
	for _, l := range []struct {
		name, file string
		used       func(limit uint64) uint64
	}{
		{"kernel.threads-max", "/proc/sys/kernel/threads-max", func(uint64) uint64 { return threads() }},
		{"kernel.pid_max", "/proc/sys/kernel/pid_max", numbers}, // since Linux 6.14 the pid namespace's own
	} {
		if limit, ok := readNumber(l.file); ok {
			h.room(l.name, limit, l.used(limit), "raise it (sysctl -w "+l.name+"=…)")
		}
	}
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return fmt.Errorf("read own cgroups: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 {
			continue
		}
		switch {
		case parts[1] == "pids":
			h.cgroupRoom("/sys/fs/cgroup/pids", parts[2])
		case parts[0] == "0":
			if mount, err := cgroupMount(); err == nil {
				h.cgroupRoom(mount, parts[2])
			}
		}
	}
	return nil
}

// readUsersRoom reads RLIMIT_NPROC. Who is root in the initial user namespace, or has
// CAP_SYS_ADMIN or CAP_SYS_RESOURCE there, is exempt (copy_process, kernel/fork.c).
func (h *Host) readUsersRoom() error {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NPROC, &lim); err != nil {
		return fmt.Errorf("getrlimit: %w", err)
	}
	initial := len(h.UIDMap) == 1 && h.UIDMap[0] == topology.Extent{Count: topology.NoID}
	if lim.Cur == unix.RLIM_INFINITY || initial && (h.UID == 0 || !h.Lacks.Has(topology.CapSysAdmin) || !h.Lacks.Has(capSysResource)) {
		return nil
	}
	h.room("the limit of processes of a user", lim.Cur, processes(&h.UID), "raise it (ulimit -u)")
	return nil
}

// room adds a limit of which so much is used.
func (h *Host) room(limit string, of, used uint64, remedy string) {
	h.Room = append(h.Room, Room{fmt.Sprintf("%s, %d,", limit, of), of - min(of, used), remedy})
}

// cgroupRoom adds the limits of a cgroup and of those above, as far as the mount
// shows them. The root has none.
func (h *Host) cgroupRoom(mount, path string) {
	root, err := os.OpenRoot(mount)
	if err != nil {
		return
	}
	defer root.Close()
	for dir := strings.Trim(filepath.Clean(path), "/"); dir != ""; dir = strings.TrimPrefix(filepath.Dir(dir), ".") {
		limit, err := root.ReadFile(filepath.Join(dir, "pids.max"))
		if err != nil {
			continue
		}
		used, err := root.ReadFile(filepath.Join(dir, "pids.current"))
		if err != nil {
			continue
		}
		of, lerr := parseNumber(limit)
		now, uerr := parseNumber(used)
		if lerr == nil && uerr == nil { // else it is "max"
			file := filepath.Join(mount, dir, "pids.max")
			h.room(file, of, now, "raise it (echo … > "+file+")")
		}
	}
}

func parseNumber(text []byte) (uint64, error) {
	return strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 64)
}

func readNumber(file string) (uint64, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	n, err := parseNumber(text)
	return n, err == nil
}

// threads counts all there are: /proc/loadavg has "running/all", of the host even in
// a container.
func threads() uint64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 4 {
		return 0
	}
	_, all, _ := strings.Cut(fields[3], "/")
	n, _ := parseNumber([]byte(all))
	return n
}

// numbers counts the pids in use here: those of all threads of the host, elsewhere
// too, unless that is so many that to look which are here is worth its time.
func numbers(limit uint64) uint64 {
	if all := threads(); all < limit/2 {
		return all
	}
	return processes(nil)
}

// processes counts those that /proc shows, of a user if one is given.
func processes(uid *uint32) uint64 {
	proc, err := nsfs.OpenProc()
	if err != nil {
		return 0
	}
	defer proc.Close()
	pids, err := proc.PIDs(nil)
	if err != nil || uid == nil {
		return uint64(len(pids))
	}
	count := uint64(0)
	for _, pid := range pids {
		var st unix.Stat_t
		if unix.Stat("/proc/"+strconv.Itoa(pid), &st) == nil && st.Uid == *uid {
			count++
		}
	}
	return count
}
