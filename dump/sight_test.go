//go:build linux

package dump

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/test/require"
	"github.com/renest/renest/topology"
)

// sightVariable has this program do nothing but to dump its host, as what the
// variable says, and to write what it missed.
const sightVariable = "DUMP_TEST_SIGHT"

// sight is what such a program says.
type sight struct {
	Err      string
	Complete bool
	Missing  []string
	Tasks    int
	Unshown  []string // what is missing to say who may act on a namespace, but tasks by their numbers
}

// TestPartialSight dumps the host where it is not all in sight, and wants to be
// told so.
func TestPartialSight(t *testing.T) {
	require.Root(t)
	listns := nsfs.HaveListns() == nil
	for _, tt := range []struct {
		name  string
		flags uintptr
		as    []string // what the program does first; the last is done by nobody
		user  bool
		want  []string // of Missing
		err   string
		not   bool // anything else may miss
	}{
		{
			name: "hidepid", flags: unix.CLONE_NEWNS, as: []string{"mount hidepid=invisible"}, user: true,
			want: []string{"/proc: mounted with hidepid=invisible, tasks that the caller may not trace are not shown"},
		},
		{
			name: "hidepid by number", flags: unix.CLONE_NEWNS, as: []string{"mount hidepid=2"}, user: true,
			want: []string{"/proc: mounted with hidepid=invisible, tasks that the caller may not trace are not shown"},
		},
		{
			name: "subset", flags: unix.CLONE_NEWNS, as: []string{"mount subset=pid"},
			want: []string{"boot id: no such file or directory"},
		},
		{
			name: "hidepid that asks for each task", flags: unix.CLONE_NEWNS, as: []string{"mount hidepid=ptraceable"}, not: true,
			want: []string{"/proc: mounted with hidepid=ptraceable, tasks that the caller may not trace are not shown"},
		},
		{
			name: "no procfs", flags: unix.CLONE_NEWNS, as: []string{"cover"},
			err: "/proc is not a procfs (mount one: mount -t proc proc /proc)",
		},
		{
			name: "of another pid namespace", flags: unix.CLONE_NEWNS | unix.CLONE_NEWPID,
			err: "the procfs at /proc belongs to another pid namespace",
		},
		{
			name: "container", flags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP,
			as: []string{"mount "}, not: true,
			want: []string{"not the initial pid namespace: tasks outside it are not shown", "parent: outside the caller's own pid namespace"},
		},
		{
			name: "container with a user namespace", flags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID,
			as: []string{"mount "}, not: true,
			want: []string{
				"not the initial pid namespace: tasks outside it are not shown", "parent: outside the caller's own pid namespace",
				"user:[", "uts:[", "ipc:[", "cgroup:[", "net:[", "time:[", // whose owners are the host's
			},
		},
		{name: "ordinary user", user: true, want: []string{"namespaces: permission denied"}},
		{name: "user namespace", flags: unix.CLONE_NEWUSER, want: []string{"namespaces: permission denied"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := lookAs(t, tt.flags, tt.user, tt.as...)
			if tt.err != "" {
				if !strings.Contains(got.Err, tt.err) {
					t.Errorf("error %q, want %q", got.Err, tt.err)
				}
				return
			}
			if got.Err != "" || got.Complete || got.Tasks == 0 {
				t.Fatalf("%+v", got)
			}
			want := tt.want
			if listns && (tt.user || tt.flags&(unix.CLONE_NEWUSER|unix.CLONE_NEWPID) != 0) {
				want = append(want, "listns(2): shows but the caller's own namespaces")
			}
			for _, w := range want {
				if !slices.ContainsFunc(got.Missing, func(line string) bool { return strings.Contains(line, w) }) {
					t.Errorf("missing %q, want %q", got.Missing, w)
				}
			}
			more := slices.DeleteFunc(slices.Clone(got.Missing), func(line string) bool {
				// Of others on the host.
				return saysEnded(line) || strings.HasPrefix(line, "pid ") && strings.Contains(line, "descriptors in flight")
			})
			if tt.not && len(more) != len(want) {
				t.Errorf("missing %q, want no more than %q", more, want)
			}
			var unshown []string
			for _, line := range got.Missing {
				if strings.Contains(line, "are not shown") {
					unshown = append(unshown, line)
				}
			}
			if diff := cmp.Diff(unshown, got.Unshown); diff != "" {
				t.Errorf("who may act on a namespace (-missing of the host +of that):\n%s", diff)
			}
		})
	}
}

// lookAs runs this program again in new namespaces, and as an ordinary user.
func lookAs(t *testing.T, flags uintptr, user bool, as ...string) (got sight) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	if user {
		as = append(as, "nobody")
	}
	cmd.Env = append(os.Environ(), sightVariable+"="+strings.Join(as, ";"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
	if flags&unix.CLONE_NEWUSER != 0 {
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %q", err, out)
	}
	return got
}

// look is the program that lookAs runs.
func look(as string) error {
	for as != "" {
		first, rest, _ := strings.Cut(as, ";")
		as = rest
		options, mount := strings.CutPrefix(first, "mount ")
		switch {
		case mount, first == "cover":
			if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
				return err
			}
			kind := "proc"
			if !mount {
				kind, options = "tmpfs", ""
			}
			if err := unix.Mount("none", "/proc", kind, 0, options); err != nil {
				return fmt.Errorf("mount %s on /proc: %w", kind, err)
			}
		case first == "nobody":
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), sightVariable+"="+rest)
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
			return cmd.Run()
		}
	}
	var s sight
	g, err := All(context.Background(), Options{})
	if err != nil {
		s.Err = err.Error()
	} else {
		s.Complete, s.Missing, s.Tasks = g.Header.Complete, g.Header.Missing, len(g.Tasks)
		err = errors.Join(g.Validate(), s.who())
	}
	if err != nil && s.Err == "" {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(s)
}

// who asks who may act on a namespace.
func (s *sight) who() error {
	h, err := OpenHost()
	if err != nil {
		return err
	}
	defer h.Close()
	r, err := ParseReference("self/net")
	if err != nil {
		return err
	}
	found, err := h.Actors(context.Background(), r, ^topology.CapSet(0))
	if err != nil {
		return err
	}
	for _, line := range found.Missing {
		if !strings.HasPrefix(line, "pid ") && !strings.HasPrefix(line, "… and ") {
			s.Unshown = append(s.Unshown, line)
		}
	}
	if found.Complete != (len(found.Missing) == 0) {
		return fmt.Errorf("complete: %v, missing %q", found.Complete, found.Missing)
	}
	return nil
}

// TestKernelWithout has a kernel that lacks types of namespaces, as far as the
// caller's own tell.
func TestKernelWithout(t *testing.T) {
	asUser(t)
	nest(t)
	_, err := run(t.Context(), Options{}, func(d *dumper) error {
		for _, l := range []nsfs.Link{nsfs.InTime, nsfs.InPID, nsfs.InNet, nsfs.InCgroup, nsfs.InUTS, nsfs.InIPC, nsfs.InUser} {
			d.own[l] = nil
		}
		d.first = nsfs.NumLinks
		return d.scanAll()
	})
	if err != nil {
		t.Fatal(err)
	}
}
