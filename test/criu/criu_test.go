package criu

import (
	"os/exec"
	"strings"
	"testing"
)

// What is in the cache starts, and finds on this kernel what it needs.
func TestCheck(t *testing.T) {
	i := Require(t)
	out, err := exec.Command(i.Path(), "check").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Looks good.") {
		t.Errorf("criu check: %v: %s", err, out)
	}
	if out, err := exec.Command(i.Bin()+"/crun", "--version").CombinedOutput(); err != nil || !strings.Contains(string(out), "+CRIU") {
		t.Errorf("crun --version: %v: %s", err, out)
	}
}
