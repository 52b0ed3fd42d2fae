package test

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/renest/renest/test/require"
)

// TestCRIULoopback has a container in a net namespace of what is above it, where lo is
// down: CRIU, which has to be there too, does not start unless it knows the kernel already.
// What it restores has lo down again.
func TestCRIULoopback(t *testing.T) {
	if testing.Short() {
		return
	}
	require.Command(t, "nsenter", "nsenter")
	c := newCRIU(t)
	for name, tokens := range map[string]string{
		"of the container above": "user=0:100000:65536 net ( user=0:1000:1000 mnt pid uts ipc ( name=root pivot=DIR sid ) leave )",
		"of the layer above":     "user=0:100000:65536 net mnt pid uts ipc ( name=root pivot=DIR sid pid ( mnt pivot=/tmp sid ) ) leave",
	} {
		t.Run(name, func(t *testing.T) {
			dir := shapeRoot(t)
			if out, err := exec.Command("sh", "-c", "cd "+dir+" && mkdir tmp/proc tmp/tmp && cp -p shape null tmp").CombinedOutput(); err != nil {
				t.Fatalf("make a root directory: %v\n%s", err, out)
			}
			s := startShape(t, strings.ReplaceAll(tokens, "DIR", dir))
			images := t.TempDir()
			// With a /run of its own, where at first nothing is known of the kernel.
			script := exec.Command("sh", "-exc", `
				mount -t tmpfs none /run
				! "$0" check -t $2
				! "$0" criu dump --criu $1 -t $2 -D $3
				$1 check || [ -e /run/criu.kdat ]
				"$0" criu dump --criu $1 -t $2 -D $3
				restored=$("$0" criu restore --criu $1 -D $3 --name $4 | tail -n 1)
				nsenter -t ${restored##* } -n ip -o link show lo
				"$0" rm $4`,
				program(t, "renest"), c.path, strconv.Itoa(s.root), images, uniqueName("lo"))
			script.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
			out, err := script.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if n := strings.Count(string(out), "and lo is down: CRIU does not start there"); n != 2 {
				t.Errorf("%d of check and criu dump say that CRIU would not start:\n%s", n, out)
			}
			if !strings.Contains(string(out), "lo: <LOOPBACK> ") {
				t.Errorf("lo is not down again:\n%s", out)
			}
		})
	}
}
