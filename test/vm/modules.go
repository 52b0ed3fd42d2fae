package vm

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/renest/renest/test/debian"
	"github.com/renest/renest/test/vm/wire"
)

// modules are those that a VM loads, in this order: what CRIU asks about sockets, and
// the device of containers.
func modules() []string {
	return []string{"inet_diag", "tcp_diag", "udp_diag", "raw_diag", "unix_diag", "netlink_diag", "af_packet_diag", "veth"}
}

// fetchModules puts the modules of a kernel into dir. Since 7.2 they are a package of
// their own; before, they come with the vmlinuz, in deb.
func fetchModules(ctx context.Context, a *debian.Archive, release, deb, dir string) error {
	if pkg := "linux-modules-" + release; strings.Contains(filepath.Base(deb), "linux-binary-") {
		var err error
		if deb, err = a.Download(ctx, pkg); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	wanted := map[string]string{}
	for i, name := range modules() {
		wanted[name+".ko.xz"] = fmt.Sprintf("%02d-%s.ko.xz", i, name)
	}
	return debian.Unpack(ctx, deb, func(h *tar.Header, r io.Reader) error {
		file, ok := wanted[path.Base(h.Name)]
		if !ok || h.Typeflag != tar.TypeReg {
			return nil // some are part of some kernels
		}
		return writeFile(filepath.Join(dir, file), r)
	})
}

// moduleFiles lists the modules of a kernel for its VM.
func moduleFiles(k Kernel) ([]File, error) {
	entries, err := os.ReadDir(k.Modules)
	var files []File
	for _, e := range entries {
		files = append(files, File{Path: path.Join(wire.ModulesPath, e.Name()), Host: filepath.Join(k.Modules, e.Name())})
	}
	return files, err
}
