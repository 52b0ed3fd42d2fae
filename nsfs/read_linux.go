package nsfs

import (
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"
)

// readMax bounds the files this package reads whole. A status file is long where
// the task is in tens of thousands of groups.
const readMax = 1 << 20

// readAll reads a file under /proc from its start, at most readMax of it, into
// buf, which it grows. A file of procfs must be read with one open: it is made
// anew each time.
func readAll(dirfd int, path cstr, buf []byte) ([]byte, error) {
	return readUpTo(dirfd, path, buf, false)
}

// readWhole is readAll of a file that comes in one piece (single_open), where
// less than was asked for is the end.
func readWhole(dirfd int, path cstr, buf []byte) ([]byte, error) {
	return readUpTo(dirfd, path, buf, true)
}

func readUpTo(dirfd int, path cstr, buf []byte, whole bool) ([]byte, error) {
	fd, err := openProcfs(dirfd, path.ptr(), unix.O_RDONLY|unix.O_NOFOLLOW)
	if err != nil {
		return nil, err
	}
	defer closeFD(fd)
	if cap(buf) == 0 {
		buf = make([]byte, 0, 4096)
	}
	buf = buf[:0]
	for {
		if len(buf) == cap(buf) {
			if len(buf) >= readMax {
				return nil, unix.EFBIG
			}
			buf = slices.Grow(buf, 4096)
		}
		n, err := read(fd, buf[len(buf):cap(buf)])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return nil, err
		case n == 0:
			return buf, nil
		}
		buf = buf[:len(buf)+n]
		if whole && len(buf) < cap(buf) {
			return buf, nil
		}
	}
}

// appendNumbers appends the entries of a directory whose names are numbers, in
// ascending order.
func appendNumbers(dirfd int, path cstr, buf []int) ([]int, error) {
	fd, err := openProcfs(dirfd, path.ptr(), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return buf, err
	}
	defer closeFD(fd)
	return numbers(fd, buf)
}

// numbers is appendNumbers of an open directory.
func numbers(fd int, buf []int) ([]int, error) {
	start := len(buf)
	var b [8192]byte
	for {
		got, err := getdents(fd, b[:])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return buf[:start], err
		case got == 0:
			if !slices.IsSorted(buf[start:]) {
				slices.Sort(buf[start:])
			}
			return buf, nil
		}
		buf = appendDirents(b[:got], buf)
	}
}

// appendDirents walks struct linux_dirent64: u64 ino, s64 off, u16 length, u8
// type, name.
func appendDirents(b []byte, buf []int) []int {
	const name = 19
	for len(b) > name {
		size := int(binary.NativeEndian.Uint16(b[16:]))
		if size <= name || size > len(b) {
			return buf
		}
		if n, rest, ok := parseUint(b[name:size]); ok && n < 1<<31 && len(rest) > 0 && rest[0] == 0 {
			buf = append(buf, int(n))
		}
		b = b[size:]
	}
	return buf
}
