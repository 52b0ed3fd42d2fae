package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/renest/renest/dump"
)

// hookFiles are the configuration files of CRIU that each of these reads, below
// /etc: runc(8), checkpoint, and crun(1) give theirs to CRIU; CRIU itself reads the
// other whoever starts it.
func hookFiles() map[string]string {
	return map[string]string{"runc": "criu/runc.conf", "crun": "criu/crun.conf", "criu": "criu/default.conf"}
}

// The lines between which a configuration file is renest's.
const (
	hookBegin = "# renest hook: begin, see renest hook --remove"
	hookEnd   = "# renest hook: end"
)

func installHook(c *cli.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := installable(self); err != nil {
		return fmt.Errorf("install hook: %w", err)
	}
	etc := c.Path("etc")
	var files []string
	for _, whom := range strings.Split(c.String("for"), ",") {
		file, ok := hookFiles()[strings.TrimSpace(whom)]
		if !ok {
			return usagef("hook: no runtime %q (known: runc, crun, criu)", whom)
		}
		files = append(files, filepath.Join(etc, file))
	}
	for _, file := range files {
		if err := editConfig(file, []string{hookBegin, "action-script " + self, hookEnd}); err != nil {
			return fmt.Errorf("install hook: %w", err)
		}
		fmt.Fprintf(c.App.Writer, "%s: action-script %s\n", file, self)
	}
	mode := dump.Mode(*c.Generic("mode").(*modeValue))
	file := filepath.Join(etc, "renest/hook.conf")
	if _, err := os.Stat(file); err == nil && !c.IsSet("mode") {
		return nil // as it was set before
	}
	if err := replaceConfig(file, "# what renest's hook does with what it finds: enforce, warn or off\nmode = "+mode.String()+"\n"); err != nil {
		return fmt.Errorf("install hook: %w", err)
	}
	fmt.Fprintf(c.App.Writer, "%s: mode = %s\n", file, mode)
	return nil
}

// installable tells whether CRIU's configuration can name a program.
func installable(program string) error {
	if strings.ContainsAny(program, " \t\n\"'\\#") {
		return fmt.Errorf("CRIU's configuration cannot name %q: move the program", program)
	}
	if strings.Contains(program, "/go-build") && filepath.Base(filepath.Dir(program)) == "exe" {
		return fmt.Errorf("%s is gone when go run is done: go install it", program)
	}
	return nil
}

func removeHook(c *cli.Context) error {
	etc := c.Path("etc")
	var errs []error
	for _, file := range hookFiles() {
		errs = append(errs, editConfig(filepath.Join(etc, file), nil))
	}
	if err := os.Remove(filepath.Join(etc, "renest/hook.conf")); !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	for _, dir := range []string{"renest", "criu"} {
		_ = syscall.Rmdir(filepath.Join(etc, dir)) // if nothing else is in it, and it is no link
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove hook: %w", err)
	}
	return nil
}

// editConfig puts lines in the place of renest's in a configuration file, which is
// made, or removed where nothing is left in it.
func editConfig(file string, lines []string) error {
	file, err := configFile(file)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	there := err == nil
	var kept []string
	ours := false
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, "\n")
		switch {
		case line == hookBegin:
			ours = true
		case ours:
			ours = line != hookEnd
		default:
			kept = append(kept, line)
		}
	}
	if ours {
		return fmt.Errorf("%s: the line %q is missing: add it", file, hookEnd)
	}
	all := append(kept, lines...)
	switch {
	case len(all) > 0:
		return replaceConfig(file, strings.Join(all, "\n")+"\n")
	case there:
		return os.Remove(file)
	}
	return nil
}

// configFile follows links to a file, which are not to be replaced by one, nor is what
// is no file.
func configFile(file string) (string, error) {
	to, err := filepath.EvalSymlinks(file)
	if errors.Is(err, fs.ErrNotExist) {
		return file, nil
	}
	if err != nil {
		return "", err
	}
	info, err := os.Stat(to)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", file)
	}
	return to, err
}

// replaceConfig writes a file in one piece.
func replaceConfig(file, text string) error {
	file, err := configFile(file)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(file); err == nil {
		mode = info.Mode().Perm()
	}
	temp, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.WriteString(text)
	if err := errors.Join(err, temp.Chmod(mode), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), file)
}
