//go:build linux

package nsfs_test

import (
	"errors"
	"fmt"

	"github.com/renest/renest/nsfs"
)

// A namespace knows its type and, unless it is out of sight, who owns it.
func ExampleOpen() {
	ns, err := nsfs.Open("/proc/self/ns/uts")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ns.Close()
	t, err := ns.Type()
	fmt.Println(t, err)

	owner, err := ns.Owner()
	if errors.Is(err, nsfs.ErrOutOfSight) {
		return
	}
	defer owner.Close()
	t, err = owner.Type()
	fmt.Println(t, err)
	// Output:
	// uts <nil>
	// user <nil>
}

// What a process says of itself, read from a procfs that is verified to be one.
func ExampleProc() {
	proc, err := nsfs.OpenProc()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer proc.Close()
	self, err := proc.Self()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer self.Close()
	setgroups, err := self.Setgroups()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(setgroups == "allow" || setgroups == "deny")
	// Output: true
}
