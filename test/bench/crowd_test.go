package bench

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// crowd is a running program crowd or tree.
type crowd struct {
	cmd *exec.Cmd
	in  io.Closer
}

// startCrowd starts program crowd, or tree, and returns when all of its processes
// are there.
func startCrowd(program string, args ...string) (*crowd, error) {
	cmd := exec.Command(program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // which tree kills in the end
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &crowd{cmd, in}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		c.stop()
		return nil, fmt.Errorf("crowd: %w: %s", err, stderr.String())
	}
	if !strings.HasPrefix(line, "ready ") {
		c.stop()
		return nil, fmt.Errorf("crowd said %q", line)
	}
	return c, nil
}

// stop ends the crowd: it kills its processes.
func (c *crowd) stop() {
	_ = c.in.Close()
	_ = c.cmd.Wait() // what it printed says whether it worked
}

// gather starts a crowd that lasts as long as tb.
func gather(tb testing.TB, program string, n int) *crowd {
	tb.Helper()
	c, err := startCrowd(program, strconv.Itoa(n))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.stop)
	return c
}
