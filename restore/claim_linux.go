package restore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/renest/renest/nsfs/agent"
)

// claim is the record of a restore that is under way: it is there before anything
// else is, and goes when either the tree is recorded or all is undone. The guardian
// sees to that. Where that was killed too, the claim is what a leftover is found by.
//
// It is a file in [StateDir] whose name is the tree's behind a dot, so that it can
// be no other tree's record.
type claim struct {
	Name   string  `json:"name"`
	BootID string  `json:"boot_id"`
	Space  string  `json:"pid_namespace"` // the maker's: elsewhere its number means nothing
	Maker  Process `json:"maker"`
	// Pins are the bind mounts that it makes, and the folders that it may make for
	// them.
	Pins *PinSet `json:"pins,omitempty"`
	// Cgroups are those that it may make, those above first.
	Cgroups []string `json:"cgroups,omitempty"`
	// Family is what all processes of the restore are known by.
	Family agent.Family `json:"family"`
}

func claimPath(name string) string { return filepath.Join(StateDir(), "."+name) }

// newClaim claims a name for the calling process; for none, it makes one up.
func newClaim(name string, family agent.Family, pins *PinSet, cgroups []string) (*claim, error) {
	if name == "" {
		name = fmt.Sprintf("t%d", family.Inode) // no two memfds have the same
	}
	c := &claim{Name: name, Family: family, Pins: pins, Cgroups: cgroups}
	var err error
	if c.BootID, err = bootID(); err != nil {
		return nil, err
	}
	if c.Space, err = os.Readlink("/proc/self/ns/pid"); err != nil {
		return nil, err
	}
	if c.Maker, err = process(os.Getpid()); err != nil {
		return nil, err
	}
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	err = writeRecord(claimPath(name), text)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("the name %s is in use: it is being restored: choose another", name)
	}
	if err != nil {
		return nil, fmt.Errorf("record that %s is being restored: %w", name, err)
	}
	return c, nil
}

// readClaim reads the claim of a name.
func readClaim(name string) (*claim, error) {
	if err := checkStateDir(StateDir()); err != nil {
		return nil, err
	}
	path := claimPath(name)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c := new(claim)
	if err := json.Unmarshal(text, c); err != nil {
		return nil, fmt.Errorf("the record of a restore is damaged: end its processes, and remove %s: %w", path, err)
	}
	c.Name = name
	return c, nil
}

// underway reports whether the restore goes on, or cannot be told from one that
// does: its maker is out of sight.
func (c *claim) underway() bool {
	boot, err := bootID()
	if err != nil || boot != c.BootID {
		return err != nil
	}
	space, err := os.Readlink("/proc/self/ns/pid")
	return err != nil || space != c.Space || c.Maker.alive()
}

// release removes the claim, if it is still there.
func (c *claim) release() error {
	there, err := readClaim(c.Name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && there.Family != c.Family {
		return nil
	}
	if err == nil {
		err = os.Remove(claimPath(c.Name))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_ = os.Remove(StateDir()) // where this was the last
	return nil
}

// clean removes what a restore left that does not go on. Where its tree was
// recorded, nothing but the claim is left: the tree stands.
func (c *claim) clean() error {
	boot, err := bootID()
	if err != nil {
		return err
	}
	_, err = Find(c.Name)
	if !errors.Is(err, ErrNotFound) {
		return c.release()
	}
	if boot == c.BootID {
		if err := c.Family.Kill(); err != nil {
			return err
		}
	}
	if err := errors.Join(c.Pins.remove(), removeCgroups(c.Cgroups)); err != nil {
		return err
	}
	return c.release()
}

// abandon cleans up after the maker's own guardian, if that was killed: else it has
// removed the claim itself.
func (c *claim) abandon() error {
	there, err := readClaim(c.Name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && there.Family != c.Family {
		return nil
	}
	if err != nil {
		return err
	}
	return c.clean()
}

// claims lists the restores that are under way, and those that were killed.
func claims() ([]*claim, error) {
	err := checkStateDir(StateDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(StateDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // it went with somebody's last tree
	}
	if err != nil {
		return nil, err
	}
	var list []*claim
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Name(), ".")
		if !ok || CheckName(name) != nil || !e.Type().IsRegular() {
			continue
		}
		c, cerr := readClaim(name)
		if errors.Is(cerr, fs.ErrNotExist) {
			continue // it ended meanwhile
		}
		if cerr != nil {
			err = errors.Join(err, cerr)
			continue
		}
		list = append(list, c)
	}
	return list, err
}

// Unfinished is a restore that has not ended: one that goes on, or one that was killed
// with all that cleans up after it.
type Unfinished struct {
	Name  string
	Maker Process
	// Killed: [Remove] of the name removes what is left of it, and so does the next
	// restore.
	Killed bool
}

// ListUnfinished lists the restores that have not ended, by name. A record that cannot
// be read is an error, and the others are listed all the same.
func ListUnfinished() ([]Unfinished, error) {
	all, err := claims()
	var list []Unfinished
	for _, c := range all {
		if _, ferr := Find(c.Name); !errors.Is(ferr, ErrNotFound) {
			continue // its tree stands
		}
		list = append(list, Unfinished{Name: c.Name, Maker: c.Maker, Killed: !c.underway()})
	}
	return list, err
}

// cleanLeftovers removes what restores left that were killed with their guardian.
func cleanLeftovers() error {
	list, err := claims()
	if err != nil && list == nil {
		return err
	}
	for _, c := range list {
		if c.underway() {
			continue
		}
		if cerr := c.clean(); cerr != nil {
			err = errors.Join(err, fmt.Errorf("%s, left over by a restore that was killed: %w", c.Name, cerr))
		}
	}
	_ = os.Remove(StateDir()) // if one was killed when it had made but that
	return err
}
