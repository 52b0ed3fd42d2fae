package vm

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sort"
	"strings"
)

// File is something that a VM's file system holds. One of Host, Data and Link
// gives its contents; none of them means a folder.
type File struct {
	Path string      // in the VM, absolute
	Host string      // the file on the host to copy
	Data []byte      // the contents themselves
	Link string      // the target of a symbolic link
	Mode fs.FileMode // 0o755 where zero
}

// writeCPIO writes an initramfs in the newc format (Documentation/driver-api/
// early-userspace/buffer-format.rst): what cpio -H newc makes.
func writeCPIO(w io.Writer, files []File) error {
	c := &cpio{w: w}
	for _, f := range withFolders(files) {
		if err := c.file(f); err != nil {
			return fmt.Errorf("initramfs: %s: %w", f.Path, err)
		}
	}
	return c.entry("TRAILER!!!", 0, 0, nil)
}

// withFolders sorts files and adds the folders they lie in: the kernel makes none
// by itself.
func withFolders(files []File) []File {
	byPath := map[string]File{}
	for _, f := range files {
		f.Path = path.Clean("/" + f.Path)
		byPath[f.Path] = f
		for dir := path.Dir(f.Path); dir != "/"; dir = path.Dir(dir) {
			if _, ok := byPath[dir]; !ok {
				byPath[dir] = File{Path: dir}
			}
		}
	}
	all := make([]File, 0, len(byPath))
	for _, f := range byPath {
		all = append(all, f)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Path < all[j].Path })
	return all
}

// Types of inode, as in st_mode.
const (
	modeDir  = 0o040000
	modeReg  = 0o100000
	modeLink = 0o120000
)

type cpio struct {
	w    io.Writer
	inos int
}

func (c *cpio) file(f File) error {
	perm := int64(f.Mode.Perm())
	if perm == 0 {
		perm = 0o755
	}
	name := strings.TrimPrefix(f.Path, "/")
	switch {
	case f.Host != "":
		src, err := os.Open(f.Host)
		if err != nil {
			return err
		}
		defer src.Close()
		info, err := src.Stat()
		if err != nil {
			return err
		}
		return c.entry(name, modeReg|perm, info.Size(), src)
	case f.Data != nil:
		return c.entry(name, modeReg|perm, int64(len(f.Data)), strings.NewReader(string(f.Data)))
	case f.Link != "":
		return c.entry(name, modeLink|0o777, int64(len(f.Link)), strings.NewReader(f.Link))
	default:
		return c.entry(name, modeDir|perm, 0, nil)
	}
}

// entry writes one entry: 13 numbers of eight hex digits, the name with its NUL,
// the data, each padded to four bytes.
func (c *cpio) entry(name string, mode, size int64, data io.Reader) error {
	c.inos++
	header := "070701"
	for _, n := range []int64{
		int64(c.inos), mode, 0, 0, 1, // ino, mode, uid, gid, nlink
		0, size, 0, 0, 0, 0, // mtime, size, dev, rdev
		int64(len(name) + 1), 0, // name size, checksum
	} {
		header += fmt.Sprintf("%08X", n)
	}
	header += name + "\x00"
	if _, err := io.WriteString(c.w, header+padding(int64(len(header)))); err != nil {
		return err
	}
	if size == 0 {
		return nil
	}
	if _, err := io.CopyN(c.w, data, size); err != nil {
		return err
	}
	_, err := io.WriteString(c.w, padding(size))
	return err
}

func padding(n int64) string { return "\x00\x00\x00"[:(4-n%4)%4] }
