package suite_test

import (
	"os/exec"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/renest/renest/test/require"
	"github.com/renest/renest/test/suite"
)

// TestBuild looks at packages that will stay what they are.
func TestBuild(t *testing.T) {
	require.Command(t, "go", "golang")
	all, err := suite.Build(t.Context(), t.TempDir(), runtime.GOARCH, suite.Module+"/topology", suite.Module+"/nsfs/...")
	if err != nil {
		t.Fatal(err)
	}
	pure := map[string]bool{}
	for _, b := range all {
		pure[b.Name()] = b.Pure
		if out, err := exec.Command(b.Path, "-test.list=.").CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", b.Path, err, out)
		}
	}
	want := map[string]bool{"topology": true, "nsfs": false, "nsfs/agent": false, "nsfs/tracee": false}
	if diff := cmp.Diff(want, pure); diff != "" {
		t.Errorf("packages, and whether they are pure (-want +got):\n%s", diff)
	}
}
