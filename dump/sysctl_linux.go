package dump

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// sysctlSize is what is read of one setting: more than any that is kept has.
const sysctlSize = 128

// sysctlFiles are settings that a program reads, of the namespaces that its process
// is in: the lookup of a file below /proc/sys goes by the task that looks, whatever
// procfs it is (the lookup and is_seen functions of struct ctl_table_root).
type sysctlFiles struct {
	names []string
	reads []fileRead
}

// fileRead is the reading of a small file.
type fileRead struct {
	open, read *agent.Call
	buf        *agent.Buffer
}

// readSysctls adds the reading of settings to a program. None of it ends that.
func readSysctls(p *agent.Program, proc agent.Arg, names []string) *sysctlFiles {
	f := &sysctlFiles{names: names, reads: make([]fileRead, len(names))}
	for i, name := range names {
		f.reads[i] = readSmall(p, proc, "sys/"+topology.SysctlPath(name))
	}
	return f
}

// readSmall adds the reading of a file of procfs of at most sysctlSize bytes.
func readSmall(p *agent.Program, proc agent.Arg, name string) fileRead {
	r := fileRead{buf: agent.NewBuffer(sysctlSize)}
	r.open = p.Call("open", unix.SYS_OPENAT, proc, agent.String(name), agent.Int(unix.O_RDONLY|unix.O_CLOEXEC)).MayFail()
	r.read = p.Call("read", unix.SYS_READ, r.open.Ret(), agent.Out(r.buf), agent.Int(sysctlSize)).MayFail()
	p.Call("close", unix.SYS_CLOSE, r.open.Ret()).MayFail()
	return r
}

// text returns the words of a file with a space between, or why there are none.
func (r fileRead) text() (string, error) {
	if err := errors.Join(r.open.Err(), r.read.Err()); err != nil {
		return "", err
	}
	return strings.Join(strings.Fields(string(r.buf.Bytes(r.read.Value()))), " "), nil
}

// values returns the settings by name. Those that this kernel does not have are
// left out.
func (f *sysctlFiles) values() (map[string]string, error) {
	values := make(map[string]string, len(f.names))
	var failed error
	for i, name := range f.names {
		text, err := f.reads[i].text()
		switch {
		case errors.Is(err, unix.ENOENT):
		case err != nil:
			failed = err
		case !topology.ValidSysctl(text):
			failed = fmt.Errorf("%s is %q, which is no list of numbers", name, text)
		default:
			values[name] = text
		}
	}
	return values, failed
}

// differing returns those of values that are not what fresh has, and with them
// those that follow one of them.
func differing(names []string, values map[string]string, fresh func(name string) (string, bool)) topology.Sysctls {
	var s topology.Sysctls
	var followers map[string]bool
	other := func(name string) bool {
		value, ok := values[name]
		was, known := fresh(name)
		return ok && known && value != was
	}
	for _, name := range names {
		if list := topology.SysctlFollowers(name); list != nil && other(name) {
			if followers == nil {
				followers = map[string]bool{}
			}
			for _, follower := range list {
				followers[follower] = true
			}
		}
	}
	for _, name := range names {
		if value, ok := values[name]; ok && (other(name) || followers[name]) {
			s = append(s, topology.Sysctl{Name: name, Value: value})
		}
	}
	return s
}
