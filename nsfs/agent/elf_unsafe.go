//go:build linux && (amd64 || arm64)

package agent

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The three symbols of code_*.s. The first two are not functions of Go: they
// are never called here, only copied into an executable of their own.

func code()
func codeEnd()
func codeBounds() (start, end uintptr)

// machineCode returns the agent's program.
func machineCode() ([]byte, error) {
	start, end := codeBounds()
	if end <= start || end-start > 4096 {
		return nil, fmt.Errorf("agent program: %d bytes between its symbols", int64(end)-int64(start))
	}
	// The text segment does not move, so the pointer stays valid.
	return bytes.Clone(unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&start))), end-start)), nil
}

// elfFile wraps machine code into a static ELF executable: one segment to
// load, and a stack that is not executable.
func elfFile(text []byte, machine elf.Machine) []byte {
	const (
		base    = 0x400000
		headers = 64 + 2*56
	)
	size := uint64(headers + len(text))
	var b bytes.Buffer
	for _, part := range []any{
		elf.Header64{
			Ident:     [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
			Type:      uint16(elf.ET_EXEC),
			Machine:   uint16(machine),
			Version:   uint32(elf.EV_CURRENT),
			Entry:     base + headers,
			Phoff:     64,
			Ehsize:    64,
			Phentsize: 56,
			Phnum:     2,
		},
		elf.Prog64{
			Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X),
			Vaddr: base, Paddr: base, Filesz: size, Memsz: size, Align: 1 << 16,
		},
		elf.Prog64{Type: uint32(elf.PT_GNU_STACK), Flags: uint32(elf.PF_R | elf.PF_W), Align: 16},
		text,
	} {
		// A bytes.Buffer takes every write, and every part has a fixed size.
		_ = binary.Write(&b, binary.LittleEndian, part)
	}
	return b.Bytes()
}

// executableFile returns a descriptor of the agent's executable.
func executableFile() (*os.File, error) {
	text, err := machineCode()
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("renest-agent", unix.MFD_CLOEXEC|unix.MFD_EXEC)
	if err == unix.EINVAL { // before Linux 6.3 there is no MFD_EXEC, and no need
		fd, err = unix.MemfdCreate("renest-agent", unix.MFD_CLOEXEC)
	}
	if err != nil {
		return nil, fmt.Errorf("memfd_create (is vm.memfd_noexec 2?): %w", err)
	}
	w := os.NewFile(uintptr(fd), "renest-agent")
	defer w.Close()
	if _, err := w.Write(elfFile(text, machine)); err != nil {
		return nil, err
	}
	// What is open for writing cannot be executed (ETXTBSY).
	ro, err := os.Open("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return nil, err
	}
	defer ro.Close()
	return duplicateHigh(ro)
}

// duplicateHigh returns a descriptor of f with a high number, so that the shuffle of
// descriptors before an exec does not hit it.
func duplicateHigh(f *os.File) (*os.File, error) {
	least := 64
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err == nil && limit.Cur <= 64 {
		least = int(limit.Cur) - 1 // the last there is
	}
	high, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, least)
	if err != nil {
		return nil, fmt.Errorf("duplicate agent executable (raise the limit of open files: ulimit -Hn): %w", err)
	}
	return os.NewFile(uintptr(high), "renest-agent"), nil
}
