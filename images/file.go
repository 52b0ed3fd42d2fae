package images

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/renest/renest/topology"
)

// An image names processes, paths and descriptors of every user: like CRIU's,
// it is its writer's to read.
const fileMode = 0o600

// ReadFile reads the image at path: a file, or a directory that holds
// nstree.img.
func ReadFile(path string) (*topology.Graph, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read image: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read image: %w", err)
	}
	if info.IsDir() {
		return readIn(path)
	}
	return readAll(f, path)
}

// readIn reads the image in a directory.
func readIn(dir string) (*topology.Graph, error) {
	f, err := OpenIn(dir, Name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read image: directory %s has no %s, write one with renest dump -D: %w", dir, Name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read image: %w", err)
	}
	defer f.Close()
	return readAll(f, f.Name())
}

// OpenIn opens a file in a folder of images for reading. The folder may be anyone's: what
// is no file, such as a pipe, which an open would wait for, is refused.
func OpenIn(dir, name string) (*os.File, error) {
	path := filepath.Join(dir, name)
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// readAll reads an image that fills all of r.
func readAll(r io.Reader, path string) (*topology.Graph, error) {
	buffered := bufio.NewReaderSize(r, 64<<10)
	g, err := Decode(buffered)
	if err != nil {
		return nil, fmt.Errorf("read image %s: %w", path, err)
	}
	if _, err := buffered.ReadByte(); err == nil {
		return nil, fmt.Errorf("read image %s: more bytes after the image's end: %w", path, ErrInvalid)
	}
	return g, nil
}

// WriteFile writes an image of g to path, with mode 0600, so that at every
// moment, and after a crash at any, path is what it was before or is the whole
// image, synced.
//
// What is half written has no name, where the file system allows that
// (O_TMPFILE), so that not even a kill -9 leaves anything behind; a file that
// is there already has to be replaced by a rename, for which the finished image
// takes a name beside it for an instant. Elsewhere it has that name from the
// start, and only an error, not a kill -9, removes it.
//
// A symbolic link is followed. A device, a pipe or a socket that is there is
// written to and never replaced.
func WriteFile(path string, g *topology.Graph) error { return write(path, g, true) }

func write(path string, g *topology.Graph, durable bool) error {
	if err := writeFile(path, g, durable); err != nil {
		return fmt.Errorf("write image %s: %w", path, err)
	}
	return nil
}

func writeFile(path string, g *topology.Graph, durable bool) error {
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return writeNew(path, g, durable)
	case err != nil:
		return err
	case info.IsDir():
		return errors.New("is a directory")
	case !info.Mode().IsRegular():
		return writeInto(path, g)
	}
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	return writeNew(target, g, durable)
}

// writeInto writes to what is no file.
func writeInto(path string, g *topology.Graph) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(Encode(f, g), f.Close())
}

// WriteDir writes an image of g as nstree.img into dir, as WriteFile does, but to
// nothing that is no file. A dir that is not there is made, and taken away again if the
// image fails.
func WriteDir(dir string, g *topology.Graph) error { return writeDir(dir, g, true) }

// WriteBeside writes as WriteDir does, and syncs nothing: for a folder of CRIU's, which
// syncs none of its own images, while a tree stands still until this is done. A kill
// leaves the old or the whole image too; a crash of the host may leave a damaged one,
// which is seen when it is read.
func WriteBeside(dir string, g *topology.Graph) error { return writeDir(dir, g, false) }

func writeDir(dir string, g *topology.Graph, durable bool) error {
	err := os.Mkdir(dir, 0o700)
	made := err == nil
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("write image: %w", err)
	}
	path := filepath.Join(dir, Name)
	if info, statErr := os.Stat(path); statErr == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("write image: %s is not a file", path)
	}
	err = write(path, g, durable)
	if err != nil && made {
		err = errors.Join(err, os.Remove(dir))
	}
	return err
}

// writeNew puts a new file in the place of path.
func writeNew(path string, g *topology.Graph, durable bool) (err error) {
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	t, err := createTemp(dir, base)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.discard()) }()
	if err := Encode(t.file, g); err != nil {
		return err
	}
	if !durable {
		return t.publish(path)
	}
	// Before the name, lest a crash leave the name with nothing behind it.
	if err := t.file.Sync(); err != nil {
		return err
	}
	if err := t.publish(path); err != nil {
		return err
	}
	return syncDir(dir)
}
