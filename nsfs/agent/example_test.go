//go:build linux

package agent_test

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs/agent"
)

// A child of an agent, in a user and a UTS namespace of its own, gives itself a
// host name and asks for it. No privilege is needed, and nothing is left.
func Example() {
	if err := rename("aboard"); err != nil {
		fmt.Println(err)
	}
	// Output: aboard
}

func rename(name string) error {
	ctx := context.Background()
	proc, err := os.Open("/proc")
	if err != nil {
		return err
	}
	defer proc.Close()
	crew, err := agent.Start(ctx, agent.Options{Proc: proc, Name: "example"})
	if err != nil {
		return err
	}
	defer crew.Close()
	child, err := crew.Root().Fork(ctx, "fork", agent.ForkOptions{Flags: unix.CLONE_NEWUSER | unix.CLONE_NEWUTS})
	if err != nil {
		return err
	}
	uname := agent.NewBuffer(6 * 65) // struct new_utsname: six strings of 65 bytes
	var p agent.Program
	p.Call("set the host name", unix.SYS_SETHOSTNAME, agent.String(name), agent.Int(len(name)))
	p.Call("ask for it", unix.SYS_UNAME, agent.Out(uname))
	if err := child.Run(ctx, &p); err != nil {
		return err
	}
	nodename, _, _ := bytes.Cut(uname.Bytes(6 * 65)[65:], []byte{0})
	fmt.Printf("%s\n", nodename)
	return nil
}
