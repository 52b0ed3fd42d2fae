package images

import "hash/crc32"

const (
	// Version is the version of the format that this package writes and reads.
	Version = 1

	// Name is the image's file name in a directory of images.
	Name = "nstree.img"
)

// The start of an image. The first magic is that of every image of CRIU's
// (IMG_COMMON_MAGIC in criu/include/magic.h), the second is none of its own.
const (
	magicCommon = 0x54564319
	magicTree   = 0x4e535452
	magicSize   = 8
)

// The seal is the last field of each entry: fixed32 seal = 15, one byte of tag
// and four of CRC.
const (
	sealTag  = 15<<3 | 5
	sealSize = 5
)

// Bounds of what is written and read. The kernel's own are named.
const (
	maxHeader = 16 << 20
	maxEntry  = 256 << 10

	// Pins that would make an entry longer than this go into further ones.
	splitPins = maxEntry / 2

	maxNumber = 1<<31 - 1
	maxName   = 255  // a host name has 64 bytes (__NEW_UTS_LEN), comm 15, a kernel thread's 63
	maxPath   = 4096 // PATH_MAX

	maxClock   = (1<<63 - 1) / 1_000_000_000 // KTIME_SEC_MAX
	maxSysctls = 1000                        // there are fewer that are kept

	// The years that RFC 3339 can write.
	minCreated = -62135596800 // 0001-01-01
	maxCreated = 253402300799 // 9999-12-31

	defaultNamespaces = 1_000_000
	defaultTasks      = 1 << 22 // PID_MAX_LIMIT
)

// checksum adds b to a running CRC-32C.
func checksum(crc uint32, b []byte) uint32 {
	return crc32.Update(crc, crc32.MakeTable(crc32.Castagnoli), b)
}
