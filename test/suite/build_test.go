package suite_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/renest/renest/test/require"
	"github.com/renest/renest/test/suite"
)

// TestBuild looks for two packages that will stay what they are.
func TestBuild(t *testing.T) {
	require.Command(t, "go", "golang")
	all, err := suite.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	pure := map[string]bool{}
	for _, b := range all {
		pure[b.Name()] = b.Pure
		if info, err := os.Stat(b.Path); err != nil || info.Mode()&0o111 == 0 {
			t.Errorf("%s is no program: %v", b.Path, err)
		}
	}
	if got, ok := pure["topology"]; !ok || !got {
		t.Errorf("topology: found %t, pure %t", ok, got)
	}
	if got, ok := pure["nsfs/agent"]; !ok || got {
		t.Errorf("nsfs/agent: found %t, pure %t", ok, got)
	}
	for _, b := range all {
		if b.Name() != "topology" {
			continue
		}
		if out, err := exec.Command(b.Path, "-test.list=.").CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", b.Path, err, out)
		}
	}
}
