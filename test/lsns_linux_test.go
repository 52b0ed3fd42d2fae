package test

import (
	"encoding/json"
	"os/exec"
	"testing"
	"time"
)

// runLsns fills v with what lsns(8) prints as JSON. Version 2.38 gives up, with
// exit code 1, over a process that ends while it looks: it is asked again.
func runLsns(t *testing.T, path string, v any, args ...string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		out, err := exec.Command(path, append([]string{"-J"}, args...)...).Output()
		if err == nil {
			err = json.Unmarshal(out, v)
		}
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("lsns: %v", err)
		}
	}
}
