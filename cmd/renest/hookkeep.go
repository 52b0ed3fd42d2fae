package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/restore"
)

// Files by which one run of the hook tells a later one what it has said. They are there
// between the two: the promise in CRIU's folder of images, the report in its working
// directory, for after the tree's resumption CRIU has no folder of images any more.
const (
	promiseName = "renest-promise.json"
	reportName  = "renest-report.txt"
)

// maxKept bounds what a file may say.
const maxKept = 64 << 10

// keepFor writes what a later run is to know, and removes what an older dump has left
// that failed. Without it less is said.
func keepFor(path string, text []byte, say func(string)) {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil && len(text) > 0 {
		err = writeKept(path, text)
	}
	if err != nil {
		say("what was found is not kept for later: " + err.Error())
	}
}

// writeKept makes a file of its own: the folder may be one that others write to.
func writeKept(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

// openKept opens what writeKept has made, and nothing that somebody else has put there.
func openKept(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil {
		owner, ok := st.Sys().(*syscall.Stat_t)
		if !st.Mode().IsRegular() || !ok || int(owner.Uid) != os.Geteuid() {
			err = fmt.Errorf("%s: not the hook's own file", path)
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// recallFrom reads what was kept and removes it, nil where there is nothing.
func recallFrom(path string, say func(string)) []byte {
	f, err := openKept(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var b []byte
	if err == nil {
		b, err = io.ReadAll(io.LimitReader(f, maxKept+1))
		err = errors.Join(err, f.Close(), os.Remove(path))
	}
	if err == nil && len(b) > maxKept {
		err = fmt.Errorf("%s: longer than %d bytes", path, maxKept)
	}
	if err != nil {
		say("what was found before is not known: " + err.Error())
		return nil
	}
	return b
}

// preDump has the promise kept.
func preDump(n *dump.Notify, say func(string)) error {
	if err := n.PreDump(); err != nil {
		return err
	}
	text, err := n.Promise.Encode()
	if err != nil {
		return err
	}
	keepFor(filepath.Join(n.Dir, promiseName), text, say)
	return nil
}

// postDump holds the tree against the promise.
func postDump(n *dump.Notify, say func(string)) error {
	if text := recallFrom(filepath.Join(n.Dir, promiseName), say); text != nil {
		var err error
		if n.Promise, err = dump.DecodePromise(text); err != nil {
			say("what was found before is not known: " + err.Error())
		}
	}
	return n.PostDump()
}

// postRestore has the report kept.
func postRestore(n *restore.Notify, pid int, say func(string)) error {
	if err := n.PostRestore(int32(pid)); err != nil {
		return err
	}
	keepFor(reportName, []byte(n.Report), say)
	return nil
}

// postResume says it again, now that it is so.
func postResume(n *restore.Notify, say func(string)) error {
	n.Report = strings.TrimSpace(string(recallFrom(reportName, say)))
	return n.PostResume()
}
