package vm

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/renest/renest/test/debian"
)

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

	a, err := debian.Open(ctx, work, debian.Source{Arch: "amd64", Suites: []string{string(s)}})
	if err != nil {
		return Kernel{}, err
	}
	release, pkg, err := resolve(ctx, a)
	if err != nil {
		return Kernel{}, err
	}
	deb, err := a.Download(ctx, pkg)
	if err != nil {
		return Kernel{}, err
	}
	if err := extractKernel(ctx, deb, filepath.Join(work, "vmlinuz")); err != nil {
		return Kernel{}, err
	}
	if err := fetchModules(ctx, a, release, deb, filepath.Join(work, "modules")); err != nil {
		return Kernel{}, err
	}
	// The release goes first and comes back last, so that an interrupted
	// fetch is seen as no kernel at all.
	if err := os.RemoveAll(filepath.Join(dir, "release")); err != nil {
		return Kernel{}, err
	}
	if err := os.RemoveAll(filepath.Join(dir, "modules")); err != nil {
		return Kernel{}, err
	}
	for _, name := range []string{"vmlinuz", "modules", filepath.Base(wantedFile("modules"))} {
		if err := os.Rename(filepath.Join(work, name), filepath.Join(dir, name)); err != nil {
			return Kernel{}, err
		}
	}
	if err := os.WriteFile(filepath.Join(work, "release"), []byte(release+"\n"), 0o644); err != nil {
		return Kernel{}, err
	}
	if err := os.Rename(filepath.Join(work, "release"), filepath.Join(dir, "release")); err != nil {
		return Kernel{}, err
	}
	return Find(s)
}

// image matches the versioned package which linux-image-cloud-amd64 stands for.
var image = regexp.MustCompile(`\blinux-image-([0-9][^ ,]*-cloud-amd64)\b`)

// resolve names the suite's current kernel and the package that holds its
// vmlinuz. Versions leave the archive, so none is written down here.
func resolve(ctx context.Context, a *debian.Archive) (release, pkg string, err error) {
	out, err := a.Show(ctx, "linux-image-cloud-amd64")
	if err != nil {
		return "", "", err
	}
	m := image.FindSubmatch(out)
	if m == nil {
		return "", "", errors.New("linux-image-cloud-amd64 depends on no versioned linux-image")
	}
	release = string(m[1])
	// Since 7.2 the image is a package of its own, and linux-image depends on it.
	if _, err := a.Show(ctx, "linux-binary-"+release); err == nil {
		return release, "linux-binary-" + release, nil
	}
	return release, "linux-image-" + release, nil
}

// extractKernel writes the vmlinuz of a package to file.
func extractKernel(ctx context.Context, deb, file string) error {
	found := false
	err := debian.Unpack(ctx, deb, func(h *tar.Header, r io.Reader) error {
		// boot/vmlinuz-RELEASE until 7.2, usr/lib/modules/RELEASE/vmlinuz since.
		if found || h.Typeflag != tar.TypeReg || !strings.HasPrefix(path.Base(h.Name), "vmlinuz") {
			return nil
		}
		found = true
		return writeFile(file, r)
	})
	if err == nil && !found {
		err = fmt.Errorf("no vmlinuz in %s", filepath.Base(deb))
	}
	return err
}

func writeFile(name string, r io.Reader) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}
