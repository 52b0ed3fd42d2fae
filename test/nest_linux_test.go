package test

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// spec is what program nest makes: see its doc.
type spec struct {
	Name     string   `json:"name"`
	New      []string `json:"new,omitempty"`
	Outside  int      `json:"outside,omitempty"`
	Count    int      `json:"count,omitempty"`
	Hostname string   `json:"hostname,omitempty"`
	Domain   string   `json:"domain,omitempty"`
	Offset   int      `json:"offset,omitempty"`
	Leave    bool     `json:"leave,omitempty"`
	PIDMax   int      `json:"pid_max,omitempty"`
	Loopback bool     `json:"loopback,omitempty"`

	Set      map[string]string `json:"set,omitempty"`
	Children []spec            `json:"children,omitempty"`
}

func (s spec) String() string {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings and numbers always can
	}
	return string(data)
}

// deepSpec nests every type, user and pid namespaces four deep, with siblings, a
// user namespace that no task is left in, and maps that differ at every level.
func deepSpec() spec {
	return spec{
		Name: "one", New: []string{"user", "pid", "uts", "ipc", "net", "cgroup", "time"},
		Outside: 1000, Count: 20000, Hostname: "one", Domain: "example.net", Offset: 86400, Loopback: true,
		Set: map[string]string{
			"kernel.msgmax": "9001", "kernel.sem": "100 2000 30 40", "fs.mqueue.msg_max": "14",
			"net.core.somaxconn": "77", "net.ipv4.ip_forward": "1", "user.max_net_namespaces": "55",
		},
		Children: []spec{
			{
				Name: "two", New: []string{"user", "pid", "uts"}, Outside: 100, Count: 10000, Hostname: "two",
				Set: map[string]string{"kernel.ns_last_pid": "400", "user.max_cgroup_namespaces": "44"},
				Children: []spec{
					{Name: "three", New: []string{"user", "pid", "net", "ipc"}, Outside: 1, Count: 1000, Set: map[string]string{"net.ipv4.ip_local_port_range": "2000 3000", "kernel.shm_rmid_forced": "1"}, Children: []spec{
						{Name: "four", New: []string{"user", "pid", "uts", "cgroup"}, Outside: 0, Count: 10, Hostname: "four"},
					}},
					{Name: "sibling", New: []string{"pid", "ipc", "time"}, Offset: 60},
				},
			},
			{
				Name: "hole", New: []string{"user"}, Outside: 500, Count: 100, Leave: true,
				Children: []spec{
					{Name: "below", New: []string{"user", "uts", "net"}, Outside: 7, Count: 9, Hostname: "below", Children: []spec{
						{Name: "lowest", New: []string{"uts", "ipc"}, Hostname: "lowest"},
					}},
				},
			},
		},
	}
}

// userSpec is what an ordinary user may make: a map of one id at each level.
func userSpec() spec {
	return spec{
		Name: "one", New: []string{"user", "pid", "uts", "ipc", "net", "cgroup"},
		Outside: os.Geteuid(), Count: 1, Hostname: "one",
		Children: []spec{
			{Name: "two", New: []string{"user", "pid", "uts", "time"}, Count: 1, Hostname: "two", Offset: 60, Children: []spec{
				{Name: "three", New: []string{"user", "pid", "net"}, Count: 1},
				{Name: "sibling", New: []string{"pid", "ipc"}},
			}},
		},
	}
}

// startNest starts program nest under cmd, whose last argument the spec becomes,
// and returns when every process is ready. The nest ends with the test, or with
// the function that is returned.
func startNest(t *testing.T, cmd *exec.Cmd) (stop func()) {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	over := false
	stop = func() {
		if over {
			return
		}
		over = true
		_ = in.Close() // which is nest's sign
		_ = cmd.Wait() // the status is the runtime's, and says nothing
	}
	t.Cleanup(stop)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "ready outermost ") {
			return stop
		}
	}
	stop()
	t.Fatalf("%s ended before it was ready: %s", cmd, stderr.String())
	return nil
}
