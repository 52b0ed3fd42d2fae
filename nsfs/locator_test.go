//go:build linux

package nsfs

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"
)

func TestParseLocator(t *testing.T) {
	for s, want := range map[string]Locator{
		"net:[4026531840]":      {Ref: Ref{Net, 4026531840}},
		":42":                   {ID: 42},
		"4711/net":              {Task: TaskLocator{PID: 4711}, Link: InNet},
		"4711/pid_for_children": {Task: TaskLocator{PID: 4711}, Link: PIDForChildren},
		"4711:52340/user":       {Task: TaskLocator{PID: 4711, Start: 52340}},
		"self/mnt":              {Task: TaskLocator{PID: SelfPID}, Link: InMnt},
		"/run/netns/x":          {Path: "/run/netns/x"},
		"./net:[1]":             {Path: "./net:[1]"},
		"/proc/1/ns/net":        {Path: "/proc/1/ns/net"},
		"./4711/net":            {Path: "./4711/net"},
		"a/4711/net":            {Path: "a/4711/net"},
	} {
		got, err := ParseLocator(s)
		if err != nil {
			t.Errorf("%q: %v", s, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got)\n%s", s, diff)
		}
		if got.String() != s {
			t.Errorf("%q is written %q", s, got)
		}
	}
	for s, says := range map[string]string{
		"":                      "none of",
		"x":                     "none of",
		"net":                   "none of",
		":":                     "namespace id",
		":0":                    "above 0",
		":-1":                   "namespace id",
		":18446744073709551616": "namespace id",
		"net:[x]":               "inode number",
		"nett:[1]":              "inode number",
		"4711":                  "4711/net",
		"4711:52":               "4711:52/net",
		"self":                  "self/net",
		"0/net":                 "above 0",
		"-1/net":                "above 0",
		"4711:0/net":            "start time",
		"4711:x/net":            "start time",
		"4711:/net":             "start time",
		"2147483648/net":        "no process has",
		"4711/foo":              `"foo"`,
		"4711/":                 `""`,
		"4711/net/x":            `"net/x"`,
		"4711/task/4712/ns/net": "begins with ./",
	} {
		if got, err := ParseLocator(s); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q is read as %v, %v; want an error with %q", s, got, err, says)
		}
	}
}

func FuzzParseLocator(f *testing.F) {
	for _, s := range []string{"net:[1]", ":1", "1/net", "1:2/net", "self/user", "/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseLocator(s)
		if err != nil {
			return
		}
		if again, err := ParseLocator(l.String()); err != nil || again != l {
			t.Errorf("%q is %+v, which reads as %+v, %v", s, l, again, err)
		}
	})
}

func TestParseStart(t *testing.T) {
	const rest = " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 52340 20 21\n"
	for s, want := range map[string]uint64{
		"4711 (sh)" + rest:         52340,
		"4711 (a) S 1 (b))" + rest: 52340,
		"4711 (a ) b (c)" + rest:   52340,
		"4711 (sh) S 1 2":          0,
		"":                         0,
	} {
		if got, _ := parseStart([]byte(s)); got != want {
			t.Errorf("%q: %d, want %d", s, got, want)
		}
	}
}

func TestParseCredentials(t *testing.T) {
	var got Credentials
	got.parse([]byte("Name:\tx\\nCapInh:\\ty\nUid:\t1\t2\t3\t4\nThreads:\t4\nSigQ:\t0/1\nCapInh:\t0000000000000001\n" +
		"CapPrm:\t000001ffffffffff\nCapEff:\t0000000000000003\nCapBnd:\t000001fffffffffe\nCapAmb:\t0000000000000000\n" +
		"NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n"))
	want := Credentials{
		Status:      Status{Name: "x\nCapInh:\\ty", UID: [4]uint32{1, 2, 3, 4}, Threads: 4},
		Inheritable: 1, Permitted: 1<<41 - 1, Effective: 3, Bounding: 1<<41 - 2, NoNewPrivs: true, Seccomp: 2,
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(Credentials{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func FuzzParseCredentials(f *testing.F) {
	f.Add([]byte("Name:\tx\nCapInh:\t1\nCapEff:\t\n"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		new(Credentials).parse(b)
		parseStart(b)
	})
}

// TestCredentials: what is read of this process is what it has.
func TestCredentials(t *testing.T) {
	p := testProc(t)
	self, err := p.Self()
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	var c Credentials
	if err := self.Credentials(&c); err != nil {
		t.Fatal(err)
	}
	if c.PID != os.Getpid() || int(c.UID[1]) != os.Geteuid() || c.Threads < 1 {
		t.Errorf("%+v", c)
	}
	for n := range 41 {
		has, err := HasCapability(n)
		if err != nil || has != (c.Effective>>n&1 == 1) {
			t.Errorf("capability %d: %v, %v", n, has, err)
		}
	}
}

func TestLocate(t *testing.T) {
	p := testProc(t)
	pid := child(t, User|UTS)
	task, err := p.Task(pid)
	if err != nil {
		t.Fatal(err)
	}
	defer task.Close()
	want, err := task.Ref(InUTS)
	if err != nil {
		t.Fatal(err)
	}
	start, err := task.StartTime()
	if err != nil {
		t.Fatal(err)
	}
	number := strconv.Itoa(pid)
	safe := number + ":" + strconv.FormatUint(start, 10)
	for _, s := range []string{number + "/uts", safe + "/uts", "/proc/" + number + "/ns/uts"} {
		l, err := ParseLocator(s)
		if err != nil {
			t.Fatal(err)
		}
		ns, err := l.Open(p)
		if err != nil {
			t.Errorf("%s: %v", s, err)
			continue
		}
		if got, err := ns.Ref(); err != nil || got != want {
			t.Errorf("%s is %v, %v; want %v", s, got, err, want)
		}
		ns.Close()
	}
	for s, want := range map[string]error{
		number + ":1/uts":               ErrGone,
		"2147483647/uts":                ErrGone,
		filepath.Join(t.TempDir(), "x"): ErrGone,
		want.String():                   ErrNotSupported,
		"/dev/null":                     ErrNoNamespace,
	} {
		l, err := ParseLocator(s)
		if err != nil {
			t.Fatal(err)
		}
		if ns, err := l.Open(p); !errors.Is(err, want) {
			t.Errorf("%s: %v, %v; want %v", s, ns, err, want)
		}
	}
}

// TestLocateHidden: a process that is not shown may be there.
func TestLocateHidden(t *testing.T) {
	p := testProc(t)
	limited := &Proc{fd: p.fd, hides: "hidepid=invisible"}
	_, err := TaskLocator{PID: 2147483647}.Open(limited)
	if !errors.Is(err, ErrGone) || !strings.Contains(err.Error(), "or /proc hides it (hidepid=invisible)") {
		t.Errorf("%v", err)
	}
}

// TestLocateZombie: what has ended is said to have ended, and leads to its user
// namespace still.
func TestLocateZombie(t *testing.T) {
	p := testProc(t)
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"child", "-test.run=^$"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = syscall.Wait4(pid, nil, 0, nil) }()
	_ = syscall.Kill(pid, syscall.SIGKILL)
	// It is a zombie once it can be waited for, which leaves it one.
	if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	open := func(name string) error {
		l, err := ParseLocator(strconv.Itoa(pid) + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		ns, err := l.Open(p)
		if err == nil {
			ns.Close()
		}
		return err
	}
	if err := open("user"); err != nil {
		t.Error(err)
	}
	if err := open("net"); !errors.Is(err, ErrGone) || !strings.Contains(err.Error(), "has ended: a zombie") {
		t.Errorf("net: %v", err)
	}
}

// TestOpenWithout: what is no namespace is not opened to find out, and its name does
// not break a line.
func TestOpenWithout(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a\nb")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, err = Open(path) // which the kernel would refuse with ENXIO
	if !errors.Is(err, ErrNoNamespace) || strings.Contains(err.Error(), "\n") {
		t.Errorf("Open of a socket: %v, want ErrNoNamespace in one line", err)
	}
}
