package images

import (
	"errors"
	"fmt"
)

// What can be wrong with an image, for errors.Is. Where the reader itself
// fails, its error is in the chain and none of these.
var (
	// ErrNotImage: the magics are another file's.
	ErrNotImage = errors.New("not an image of a namespace tree")
	// ErrVersion: the format is another version's.
	ErrVersion = errors.New("unsupported image version, use the renest that wrote it")
	// ErrTruncated: the image ends before its end entry.
	ErrTruncated = errors.New("image is cut short, copy or dump it again")
	// ErrChecksum: some bit is not as it was written.
	ErrChecksum = errors.New("image is damaged, copy or dump it again")
	// ErrLimit: more than this package, or the caller, is willing to read or
	// able to write.
	ErrLimit = errors.New("limit exceeded")
	// ErrInvalid: undamaged, but it makes no sense.
	ErrInvalid = errors.New("invalid image")
)

// FormatError says where in an image the fault is.
type FormatError struct {
	Offset int64 // of the entry, in bytes from the start of the image
	Entry  int   // its number: 0 is the header, -1 the magics before it
	Err    error
}

func (e *FormatError) Error() string {
	switch e.Entry {
	case -1:
		return e.Err.Error()
	case 0:
		return "image header: " + e.Err.Error()
	}
	return fmt.Sprintf("image entry %d at byte %d: %v", e.Entry, e.Offset, e.Err)
}

// Unwrap returns what is wrong.
func (e *FormatError) Unwrap() error { return e.Err }
