// Command init is the first process of a VM: it sets the system up, runs the
// script it finds and powers off. See package vm.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/test/vm/wire"
)

func main() {
	// Two processes: pid 1 reaps whatever is orphaned, which os/exec, waiting
	// for its own children in the other, would not survive.
	if os.Getpid() != 1 {
		runScript()
		return
	}
	err := boot()
	if err == nil {
		err = superviseRunner()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "init:", err)
		report(err)
	}
	unix.Sync()
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		fmt.Fprintln(os.Stderr, "init: power off:", err)
	}
}

// superviseRunner starts the second process and reaps until it ends.
func superviseRunner() error {
	cmd := exec.Command("/proc/self/exe")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = []string{"PATH=/bin:/sbin"}                // for the look-up of commands
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // the kernel gives pid 1 none
	if err := cmd.Start(); err != nil {
		return err
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("wait: %w", err)
		case pid == cmd.Process.Pid && status.ExitStatus() != 0:
			return fmt.Errorf("runner ended with status %#x", status)
		case pid == cmd.Process.Pid:
			return nil
		}
	}
}

// report says on the port that init failed, if the port is there.
func report(err error) {
	script, readErr := readScript()
	if readErr != nil {
		return
	}
	port, openErr := openPort(script.Port)
	if openErr != nil {
		return
	}
	defer port.Close()
	text := err.Error()
	_ = json.NewEncoder(port).Encode(wire.Frame{Error: &text})
}
