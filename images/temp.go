package images

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// tempFile is an image while it is written.
type tempFile struct {
	file *os.File
	dir  string
	base string // the name to come
	name string // the path while it is written, "" of a file without one
}

// createTemp creates a file in dir, without a name where that can be. Why it
// cannot be is of no interest: what is wrong with dir, the second try tells.
func createTemp(dir, base string) (*tempFile, error) {
	if f, err := openUnnamed(dir); err == nil {
		return &tempFile{file: f, dir: dir, base: base}, nil
	}
	f, err := os.CreateTemp(dir, "."+base+".*")
	var name *fs.PathError
	switch {
	case errors.As(err, &name): // which nobody gave
		return nil, &fs.PathError{Op: "create a file in", Path: dir, Err: name.Err}
	case err != nil:
		return nil, err
	}
	return &tempFile{file: f, dir: dir, base: base, name: f.Name()}, nil
}

// publish gives the file its name, in the place of a file of that name.
func (t *tempFile) publish(path string) error {
	if t.name == "" {
		err := linkUnnamed(t.file, path)
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := t.linkBeside(); err != nil {
			return err
		}
	}
	if err := os.Rename(t.name, path); err != nil {
		return err
	}
	t.name = ""
	return nil
}

// linkBeside gives the file a name that is free: link(2) never replaces.
func (t *tempFile) linkBeside() error {
	for range 100 {
		name := filepath.Join(t.dir, fmt.Sprintf(".%s.%d", t.base, rand.Uint32()))
		err := linkUnnamed(t.file, name)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil {
			t.name = name
		}
		return err
	}
	return fmt.Errorf("no free name in %s: %w", t.dir, fs.ErrExist)
}

// discard closes the file, and removes it unless it was published.
func (t *tempFile) discard() error {
	err := t.file.Close()
	if t.name != "" {
		err = errors.Join(err, os.Remove(t.name))
	}
	return err
}

// syncDir makes a new name in dir last.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // a directory cannot be opened there, nor need be
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) {
		err = nil // a file system that has nothing to sync there
	}
	return errors.Join(err, d.Close())
}
