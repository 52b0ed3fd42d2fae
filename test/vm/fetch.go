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

// Fetch brings the newest cloud kernel of machine m into the cache and returns it.
// The mirror is the one the system's own apt uses; apt verifies the suite's
// signature and the package's checksum. Nothing of the system's apt changes.
func Fetch(ctx context.Context, m Machine) (Kernel, error) {
	k, err := fetch(ctx, m)
	if err != nil {
		return Kernel{}, fmt.Errorf("fetch kernel of %s: %w", m, err)
	}
	return k, nil
}

func fetch(ctx context.Context, m Machine) (Kernel, error) {
	dir, err := cacheDir(m)
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

	release, err := fetchKernel(ctx, m, work)
	if err != nil {
		return Kernel{}, err
	}
	if err := fetchBusybox(ctx, m, work); err != nil {
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
	for _, name := range []string{"busybox", "vmlinuz", "modules", filepath.Base(wantedFile("modules"))} {
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
	return Find(m)
}

// fetchKernel puts a kernel and its modules into dir and returns its release.
func fetchKernel(ctx context.Context, m Machine, dir string) (release string, err error) {
	a, err := debian.Open(ctx, dir, debian.Source{Arch: m.Arch, Suites: []string{m.Suite}})
	if err != nil {
		return "", err
	}
	release, pkg, err := resolve(ctx, a, m.Arch)
	if err != nil {
		return "", err
	}
	deb, err := a.Download(ctx, pkg)
	if err != nil {
		return "", err
	}
	if err := extract(ctx, deb, "vmlinuz", filepath.Join(dir, "vmlinuz")); err != nil {
		return "", err
	}
	return release, fetchModules(ctx, a, release, deb, filepath.Join(dir, "modules"))
}

// fetchBusybox puts the static busybox of a machine into dir: of the release, which its
// backports go with.
func fetchBusybox(ctx context.Context, m Machine, dir string) error {
	work := filepath.Join(dir, "release of busybox")
	if err := os.Mkdir(work, 0o755); err != nil {
		return err
	}
	base, _, _ := strings.Cut(m.Suite, "-")
	a, err := debian.Open(ctx, work, debian.Source{Arch: m.Arch, Suites: []string{base}})
	if err != nil {
		return err
	}
	deb, err := a.Download(ctx, "busybox-static")
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "busybox")
	if err := extract(ctx, deb, "busybox", file); err != nil {
		return err
	}
	return os.Chmod(file, 0o755)
}

// image matches the versioned package which linux-image-cloud-ARCH stands for.
var image = regexp.MustCompile(`\blinux-image-([0-9][^ ,]*-cloud-[a-z0-9]+)\b`)

// resolve names the suite's current kernel and the package that holds its
// vmlinuz. Versions leave the archive, so none is written down here.
func resolve(ctx context.Context, a *debian.Archive, arch string) (release, pkg string, err error) {
	meta := "linux-image-cloud-" + arch
	out, err := a.Show(ctx, meta)
	if err != nil {
		return "", "", err
	}
	m := image.FindSubmatch(out)
	if m == nil {
		return "", "", fmt.Errorf("%s depends on no versioned linux-image", meta)
	}
	release = string(m[1])
	// Since 7.2 the image is a package of its own, and linux-image depends on it.
	if _, err := a.Show(ctx, "linux-binary-"+release); err == nil {
		return release, "linux-binary-" + release, nil
	}
	return release, "linux-image-" + release, nil
}

// extract writes the first file of a package whose name begins so to file:
// boot/vmlinuz-RELEASE until 7.2, usr/lib/modules/RELEASE/vmlinuz since.
func extract(ctx context.Context, deb, name, file string) error {
	found := false
	err := debian.Unpack(ctx, deb, func(h *tar.Header, r io.Reader) error {
		if found || h.Typeflag != tar.TypeReg || !strings.HasPrefix(path.Base(h.Name), name) {
			return nil
		}
		found = true
		return writeFile(file, r)
	})
	if err == nil && !found {
		err = fmt.Errorf("no %s in %s", name, filepath.Base(deb))
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
