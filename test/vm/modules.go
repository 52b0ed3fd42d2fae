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

// modules are those that a VM loads, each after those it depends on: what CRIU asks
// about sockets, packet filters and connections, which it saves with every net
// namespace, and the devices of containers. Some kernels have some of them built in.
func modules() []string {
	return []string{
		"inet_diag", "tcp_diag", "udp_diag", "raw_diag", "unix_diag", "netlink_diag", "af_packet_diag",
		"nfnetlink", "libcrc32c", "nf_tables", "nf_defrag_ipv4", "nf_defrag_ipv6", "nf_conntrack", "nf_conntrack_netlink",
		"veth", "tun",
	}
}

// wanted is the text of the file beside a folder of modules that says which were
// looked for.
func wanted() string { return strings.Join(modules(), "\n") + "\n" }

// wantedFile is its name.
func wantedFile(modules string) string { return modules + ".wanted" }

// haveModules reports whether the modules in dir are the ones that a VM loads today.
func haveModules(dir string) bool {
	text, err := os.ReadFile(wantedFile(dir))
	return err == nil && string(text) == wanted()
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
	if err := os.WriteFile(wantedFile(dir), []byte(wanted()), 0o644); err != nil {
		return err
	}
	files := map[string]string{}
	for i, name := range modules() {
		files[name+".ko.xz"] = fmt.Sprintf("%02d-%s.ko.xz", i, name)
	}
	return debian.Unpack(ctx, deb, func(h *tar.Header, r io.Reader) error {
		file, ok := files[path.Base(h.Name)]
		if !ok || h.Typeflag != tar.TypeReg {
			return nil
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
