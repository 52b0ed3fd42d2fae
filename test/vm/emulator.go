package vm

import "strconv"

// emulator is QEMU for one kind of processor. Its machines have two serial ports: of the
// kernel's console, and of the frames.
type emulator struct {
	program, pkg string   // of Debian
	args         []string // what there is, and where the frames leave by
	console      string   // as the kernel names the port
	frames       string
}

// emulators has the emulator of each architecture.
func emulators() map[string]emulator {
	return map[string]emulator{
		"amd64": {
			program: "qemu-system-x86_64", pkg: "qemu-system-x86",
			// No cmpxchg16b: QEMU 7.2 corrupts the flags register around it, which
			// one boot in four does not survive.
			args:    []string{"-cpu", "max,-cx16", "-serial", "chardev:console", "-serial", "chardev:frames"},
			console: "ttyS0", frames: "/dev/ttyS1",
		},
		"arm64": {
			program: "qemu-system-aarch64", pkg: "qemu-system-arm",
			// A board with one port, and a card with another.
			args:    []string{"-machine", "virt", "-cpu", "cortex-a72", "-serial", "chardev:console", "-device", "pci-serial,chardev=frames"},
			console: "ttyAMA0", frames: "/dev/ttyS0",
		},
	}
}

// arguments are those of a machine with its ports and nothing else.
func (e emulator) arguments(k Kernel, initrd string, memory int) []string {
	if memory == 0 {
		memory = 2048
	}
	return append([]string{
		// Not KVM even where there is one: the same everywhere is worth more.
		"-accel", "tcg", "-smp", "2", "-m", strconv.Itoa(memory),
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-chardev", "stdio,id=console",
		"-chardev", "file,id=frames,path=/dev/fd/3",
		"-kernel", k.Image, "-initrd", initrd,
		"-append", "console=" + e.console + " quiet panic=-1 rdinit=/init",
	}, e.args...)
}
