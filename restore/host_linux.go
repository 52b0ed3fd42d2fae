package restore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/topology"
)

// ReadHost asks the running kernel, for the calling process.
func ReadHost() (*Host, error) {
	h := &Host{
		UID:   uint32(os.Geteuid()),
		GID:   uint32(os.Getegid()),
		Types: map[topology.Type]bool{},
		Max:   map[topology.Type]int{},
	}
	if err := h.readCapabilities(); err != nil {
		return nil, fmt.Errorf("read capabilities: %w", err)
	}
	h.Privileged = h.UID == 0 && h.Lacks&topology.CapSetOf(topology.CapSysAdmin, capSetUID, capSetGID) == 0
	for _, m := range []struct {
		file string
		to   *[]topology.Extent
	}{{"/proc/self/uid_map", &h.UIDMap}, {"/proc/self/gid_map", &h.GIDMap}, {"/proc/self/projid_map", &h.ProjIDMap}} {
		text, err := os.ReadFile(m.file)
		if err != nil {
			return nil, fmt.Errorf("read own id map: %w", err)
		}
		if *m.to, err = topology.ParseIDMap(string(text)); err != nil {
			return nil, fmt.Errorf("read own id map: %w", err)
		}
	}
	if err := h.readSubIDs(); err != nil {
		return nil, err
	}
	for _, t := range topology.Types {
		_, err := os.Readlink("/proc/self/ns/" + t.String())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("look for %s namespaces: %w", t, err)
		}
		h.Types[t] = err == nil
		if text, err := os.ReadFile("/proc/sys/user/max_" + t.String() + "_namespaces"); err == nil {
			if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
				h.Max[t] = n
			}
		}
	}
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return nil, fmt.Errorf("getrlimit: %w", err)
	}
	h.Files = lim.Max
	h.readObstacles()
	return h, h.readRoom()
}

// readCapabilities reads what an agent will not have: it is executed, which gives
// root all that its bounding set leaves (capabilities(7)).
func (h *Host) readCapabilities() error {
	proc, err := nsfs.OpenProc()
	if err != nil {
		return err
	}
	defer proc.Close()
	self, err := proc.Self()
	if err != nil {
		return err
	}
	defer self.Close()
	var c nsfs.Credentials
	if err := self.Credentials(&c); err != nil {
		return err
	}
	held := c.Effective
	if h.UID == 0 && !c.NoNewPrivs {
		held = c.Bounding
	} else if h.UID == 0 {
		held = c.Bounding & c.Permitted
	}
	h.Lacks = topology.AllCaps &^ topology.CapSet(held)
	return nil
}
