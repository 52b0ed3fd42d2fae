package bench

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// crowd is a running program crowd.
type crowd struct {
	cmd *exec.Cmd
	in  io.Closer
}

// startCrowd starts program crowd and returns when all of its n processes are
// there.
func startCrowd(program string, n int) (*crowd, error) {
	cmd := exec.Command(program, strconv.Itoa(n))
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

// stop ends the crowd: its processes die with their parent.
func (c *crowd) stop() {
	_ = c.in.Close()
	_ = c.cmd.Wait() // what it printed says whether it worked
}

// gather starts a crowd that lasts as long as tb.
func gather(tb testing.TB, program string, n int) *crowd {
	tb.Helper()
	c, err := startCrowd(program, n)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.stop)
	return c
}
