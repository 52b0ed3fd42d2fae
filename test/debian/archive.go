package debian

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// keyring is what Debian's archive signs its suites with, package
// debian-archive-keyring.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// Source is what an Archive reads.
type Source struct {
	Arch   string   // as Debian names it: amd64
	Suites []string // trixie-backports; a package's newest version is taken
	// Prefer is the suite that packages made from the source packages Of are taken
	// from, where apt would not by itself: experimental.
	Prefer string
	Of     []string
	// Stale takes suites whose index is past its date, as a mirror that has stood
	// still gives them.
	Stale bool
}

// Archive is a private apt, beside the system's.
type Archive struct {
	dir  string
	opts []string
}

// Open reads the index of a source into dir, which is to exist.
func Open(ctx context.Context, dir string, src Source) (*Archive, error) {
	if err := haveTools(); err != nil {
		return nil, err
	}
	mirror, err := findMirror(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	list, preferences := filepath.Join(dir, "sources.list"), filepath.Join(dir, "preferences")
	if err := os.WriteFile(list, src.list(mirror), 0o644); err != nil {
		return nil, err
	}
	if err := os.WriteFile(preferences, src.preferences(), 0o644); err != nil {
		return nil, err
	}
	a := &Archive{dir, []string{
		"-qq",
		"-oDir::Etc::SourceList=" + list,
		"-oDir::Etc::SourceParts=/dev/null",
		"-oDir::Etc::Preferences=" + preferences,
		"-oDir::Etc::PreferencesParts=/dev/null",
		"-oDir::State::Lists=" + filepath.Join(dir, "lists"),
		"-oDir::Cache=" + filepath.Join(dir, "cache"),
		"-oDir::State::Status=/dev/null",
		"-oAPT::Sandbox::User=root", // _apt may not write to dir
		"-oAPT::Architecture=" + src.Arch,
		"-oAPT::Architectures=" + src.Arch,
		"-oAcquire::Languages=none",
		"-oAcquire::Retries=3",
		"-oAPT::Update::Error-Mode=any", // else a stale or missing index is a mere warning
	}}
	if src.Stale {
		a.opts = append(a.opts, "-oAcquire::Check-Valid-Until=false")
	}
	_, err = a.run(ctx, "apt-get", "update")
	return a, err
}

// list is the sources.list(5).
func (s Source) list(mirror string) []byte {
	var b bytes.Buffer
	for _, suite := range s.Suites {
		fmt.Fprintf(&b, "deb [arch=%s signed-by=%s] %s %s main\n", s.Arch, keyring, mirror, suite)
	}
	return b.Bytes()
}

// preferences is the apt_preferences(5).
func (s Source) preferences() []byte {
	var b bytes.Buffer
	for _, pkg := range s.Of {
		fmt.Fprintf(&b, "Package: src:%s\nPin: release a=%s\nPin-Priority: 990\n\n", pkg, s.Prefer)
	}
	return b.Bytes()
}

// haveTools says what is missing of what an Archive needs.
func haveTools() error {
	var errs []error
	for _, tool := range []struct{ name, pkg string }{{"apt-get", "apt"}, {"dpkg-deb", "dpkg"}} {
		if _, err := exec.LookPath(tool.name); err != nil {
			errs = append(errs, fmt.Errorf("%s is missing (Debian package %s)", tool.name, tool.pkg))
		}
	}
	if _, err := os.Stat(keyring); err != nil {
		errs = append(errs, fmt.Errorf("Debian's signing keys are missing (package debian-archive-keyring): %w", err))
	}
	return errors.Join(errs...)
}

// findMirror returns where the system's own apt gets Debian's main archive
// from, so that a mirror or a cache which was set up there serves here too.
func findMirror(ctx context.Context) (string, error) {
	// What serves every suite is a source of main with a suite of plain name: not
	// bookworm-security, which another tree serves.
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

// Show returns the record of a package's newest version.
func (a *Archive) Show(ctx context.Context, pkg string) ([]byte, error) {
	return a.run(ctx, "apt-cache", "show", "--no-all-versions", pkg)
}

// Download fetches a package and returns the file.
func (a *Archive) Download(ctx context.Context, pkg string) (string, error) {
	if _, err := a.run(ctx, "apt-get", "download", pkg); err != nil {
		return "", err
	}
	debs, err := filepath.Glob(filepath.Join(a.dir, pkg+"_*.deb"))
	if err != nil || len(debs) != 1 {
		return "", fmt.Errorf("apt-get download %s left %d files: %w", pkg, len(debs), err)
	}
	return debs[0], nil
}

// DownloadAll fetches packages with all they depend on and returns the files.
func (a *Archive) DownloadAll(ctx context.Context, pkgs ...string) ([]string, error) {
	args := append([]string{"install", "--yes", "--download-only", "--no-install-recommends"}, pkgs...)
	if _, err := a.run(ctx, "apt-get", args...); err != nil {
		return nil, err
	}
	return filepath.Glob(filepath.Join(a.dir, "cache/archives/*.deb"))
}

func (a *Archive) run(ctx context.Context, name string, args ...string) ([]byte, error) {
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
