package vm

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// apt is a private apt of one suite, beside the system's.
type apt struct {
	dir  string
	opts []string
}

// newApt reads the index of suite s into dir.
func newApt(ctx context.Context, s Suite, dir string) (*apt, error) {
	mirror, err := debianMirror(ctx)
	if err != nil {
		return nil, err
	}
	source := fmt.Sprintf("deb [arch=amd64 signed-by=%s] %s %s main\n", keyring, mirror, s)
	list := filepath.Join(dir, "sources.list")
	if err := os.WriteFile(list, []byte(source), 0o644); err != nil {
		return nil, err
	}
	for _, d := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	a := &apt{dir, []string{
		"-qq",
		"-oDir::Etc::SourceList=" + list,
		"-oDir::Etc::SourceParts=/dev/null",
		"-oDir::State::Lists=" + filepath.Join(dir, "lists"),
		"-oDir::Cache=" + filepath.Join(dir, "cache"),
		"-oDir::State::Status=/dev/null",
		"-oAPT::Sandbox::User=root", // _apt may not write to dir
		"-oAPT::Architecture=amd64",
		"-oAPT::Architectures=amd64",
		"-oAcquire::Languages=none",
		"-oAcquire::Retries=3",
		"-oAPT::Update::Error-Mode=any", // else a stale or missing index is a mere warning
	}}
	_, err = a.run(ctx, "apt-get", "update")
	return a, err
}

// debianMirror returns where the system's own apt gets Debian's main archive
// from, so that a mirror or a cache which was set up there serves here too.
func debianMirror(ctx context.Context) (string, error) {
	// A source of kernels, not of other things, is one of main with a suite of
	// plain name: not bookworm-security, which another tree serves.
	out, err := command(ctx, "", "apt-get", "indextargets",
		"--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages")
	if err != nil {
		return "", err
	}
	codename, err := osCodename()
	if err != nil {
		return "", err
	}
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) == 3 && f[2] == "main" && (f[1] == codename || f[1] == "stable") {
			return f[0], nil
		}
	}
	return "", fmt.Errorf("no Debian %s main among apt's sources", codename)
}

// osCodename returns the name of the Debian release this system is.
func osCodename() (string, error) {
	data, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(data)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "VERSION_CODENAME="); ok {
			return strings.Trim(name, `"`), nil
		}
	}
	return "", errors.New("no VERSION_CODENAME in /etc/os-release: not a Debian release")
}

// image matches the versioned package which linux-image-cloud-amd64 stands for.
var image = regexp.MustCompile(`\blinux-image-([0-9][^ ,]*-cloud-amd64)\b`)

// resolve names the suite's current kernel and the package that holds its
// vmlinuz. Versions leave the archive, so none is written down here.
func (a *apt) resolve(ctx context.Context) (release, pkg string, err error) {
	out, err := a.run(ctx, "apt-cache", "show", "--no-all-versions", "linux-image-cloud-amd64")
	if err != nil {
		return "", "", err
	}
	m := image.FindSubmatch(out)
	if m == nil {
		return "", "", errors.New("linux-image-cloud-amd64 depends on no versioned linux-image")
	}
	release = string(m[1])
	// Since 7.2 the image is a package of its own, and linux-image depends on it.
	if _, err := a.run(ctx, "apt-cache", "show", "linux-binary-"+release); err == nil {
		return release, "linux-binary-" + release, nil
	}
	return release, "linux-image-" + release, nil
}

// download fetches a package and returns the file.
func (a *apt) download(ctx context.Context, pkg string) (string, error) {
	if _, err := a.run(ctx, "apt-get", "download", pkg); err != nil {
		return "", err
	}
	debs, err := filepath.Glob(filepath.Join(a.dir, pkg+"_*.deb"))
	if err != nil || len(debs) != 1 {
		return "", fmt.Errorf("apt-get download %s left %d files: %w", pkg, len(debs), err)
	}
	return debs[0], nil
}

func (a *apt) run(ctx context.Context, name string, args ...string) ([]byte, error) {
	return command(ctx, a.dir, name, append(a.opts[:len(a.opts):len(a.opts)], args...)...)
}

// command runs a tool in dir and returns what it prints, or its complaint.
func command(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}
