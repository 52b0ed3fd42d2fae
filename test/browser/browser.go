// Package browser lets a test open a page in a real browser, headless, and look
// at what has become of it.
package browser

import (
	"bytes"
	"context"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/renest/renest/test/require"
)

// Result is the id of the element in which a page says how it went. While it is
// not done, the element has the text [Running].
const (
	Result  = "browser-result"
	Running = "running"
)

var result = regexp.MustCompile(`(?s)<[a-z]+ id="` + Result + `"[^>]*>(.*?)</[a-z]+>`)

// Open opens a page, lets its scripts run to their end, in as much virtual time
// as they like, and returns what they wrote to the element with the id [Result].
// The page may load scripts from this machine. It requires Chromium.
func Open(t testing.TB, page []byte) string {
	t.Helper()
	chromium := require.Command(t, "chromium", "chromium")
	dir := t.TempDir()
	file := filepath.Join(dir, "page.html")
	if err := os.WriteFile(file, page, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, chromium, "--headless=new", "--disable-gpu", "--no-first-run",
		"--no-sandbox", // which root cannot have, and a container neither
		"--disable-dev-shm-usage", "--allow-file-access-from-files", "--user-data-dir="+filepath.Join(dir, "profile"),
		"--virtual-time-budget=60000", "--dump-dom", "file://"+file)
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_CACHE_HOME="+dir)
	cmd.WaitDelay = 5 * time.Second
	var dom, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &dom, &complaints
	if err := cmd.Run(); err != nil {
		t.Fatalf("chromium: %v\n%s", err, complaints.String())
	}
	m := result.FindSubmatch(dom.Bytes())
	if m == nil || strings.TrimSpace(string(m[1])) == Running {
		t.Fatalf("the page came to no result; chromium said:\n%s", complaints.String())
	}
	return html.UnescapeString(string(m[1]))
}
