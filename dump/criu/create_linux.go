package criu

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// OpenLog opens a log of CRIU's in a folder that may be anyone's.
func OpenLog(path string) (*os.File, error) { return create(path) }

// create opens a file for writing, as os.Create does, but follows no link, and waits for
// no pipe: a tree may stand still meanwhile.
func create(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
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

// createWith writes a file.
func createWith(path string, content []byte) error {
	f, err := create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}
