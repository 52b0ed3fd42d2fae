package dump

import (
	"bytes"
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/topology"
)

const einval = unix.EINVAL

// formatVersion is the header's: of what a dump means, not of its encoding.
const formatVersion = 1

// header says who looked, when, and what they did not see.
func (d *dumper) header() topology.Header {
	h := topology.Header{
		Version: formatVersion,
		Tool:    d.opts.Tool,
		Created: time.Now().UTC().Truncate(time.Second),
		Source:  Proc.String(),
		Root:    d.root,
	}
	if h.Tool == "" {
		h.Tool = buildTool()
	}
	if d.sees {
		h.Source = Listns.String()
	}
	h.Hostname, _ = os.Hostname()
	b, err := d.proc.ReadFile("sys/kernel/random/boot_id")
	if err != nil {
		d.miss.add("boot id", reason(err))
	}
	h.BootID = string(bytes.TrimSpace(b))
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		h.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	if c, err := clocks(d.proc); err == nil {
		h.Clocks = &c
	} else {
		d.miss.add("clocks", reason(err))
	}
	h.Missing = d.miss.lines()
	h.Complete = len(h.Missing) == 0
	return h
}

// buildTool names the program by what it was built from.
func buildTool() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "renest (devel)"
	}
	return "renest " + info.Main.Version
}
