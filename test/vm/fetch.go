package vm

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// keyring is what Debian's archive signs its suites with, package
// debian-archive-keyring.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// Fetch brings the newest cloud kernel of suite s into the cache and returns it.
// The mirror is the one the system's own apt uses; apt verifies the suite's
// signature and the package's checksum. Nothing of the system's apt changes.
func Fetch(ctx context.Context, s Suite) (Kernel, error) {
	k, err := fetch(ctx, s)
	if err != nil {
		return Kernel{}, fmt.Errorf("fetch kernel of %s: %w", s, err)
	}
	return k, nil
}

func fetch(ctx context.Context, s Suite) (Kernel, error) {
	if err := haveTools(); err != nil {
		return Kernel{}, err
	}
	dir, err := cacheDir(s)
	if err != nil {
		return Kernel{}, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Kernel{}, err
	}
	work, err := os.MkdirTemp(dir, "fetch-")
	if err != nil {
		return Kernel{}, err
	}
	defer os.RemoveAll(work)

	a, err := newApt(ctx, s, work)
	if err != nil {
		return Kernel{}, err
	}
	release, pkg, err := a.resolve(ctx)
	if err != nil {
		return Kernel{}, err
	}
	deb, err := a.download(ctx, pkg)
	if err != nil {
		return Kernel{}, err
	}
	if err := extractKernel(ctx, deb, filepath.Join(work, "vmlinuz")); err != nil {
		return Kernel{}, err
	}
	// The release goes first and comes back last, so that an interrupted
	// fetch is seen as no kernel at all.
	if err := os.RemoveAll(filepath.Join(dir, "release")); err != nil {
		return Kernel{}, err
	}
	if err := os.Rename(filepath.Join(work, "vmlinuz"), filepath.Join(dir, "vmlinuz")); err != nil {
		return Kernel{}, err
	}
	if err := os.WriteFile(filepath.Join(work, "release"), []byte(release+"\n"), 0o644); err != nil {
		return Kernel{}, err
	}
	if err := os.Rename(filepath.Join(work, "release"), filepath.Join(dir, "release")); err != nil {
		return Kernel{}, err
	}
	return Find(s)
}

// haveTools says what is missing of what a fetch needs.
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

// extractKernel writes the vmlinuz of a package to file.
func extractKernel(ctx context.Context, deb, file string) (err error) {
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		_, _ = io.Copy(io.Discard, out) // dpkg-deb minds a closed pipe
		err = errors.Join(err, cmd.Wait())
	}()
	for r := tar.NewReader(out); ; {
		h, err := r.Next()
		if err == io.EOF {
			return fmt.Errorf("no vmlinuz in %s", filepath.Base(deb))
		}
		if err != nil {
			return err
		}
		// boot/vmlinuz-RELEASE until 7.2, usr/lib/modules/RELEASE/vmlinuz since.
		if h.Typeflag == tar.TypeReg && strings.HasPrefix(path.Base(h.Name), "vmlinuz") {
			return writeFile(file, r)
		}
	}
}

func writeFile(name string, r io.Reader) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}
