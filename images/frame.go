package images

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"

	pb "github.com/renest/renest/images/internal/nstreepb"
)

// frameWriter writes entries: size, message, seal.
type frameWriter struct {
	w   io.Writer
	buf []byte
	crc uint32 // of all bytes since the start, or since the header; no seals
}

// magics starts the image.
func (f *frameWriter) magics() error {
	f.buf = binary.LittleEndian.AppendUint32(f.buf[:0], magicCommon)
	f.buf = binary.LittleEndian.AppendUint32(f.buf, magicTree)
	f.crc = checksum(0, f.buf)
	_, err := f.w.Write(f.buf)
	return err
}

// entry writes e, whose seal is unset, in at most limit bytes.
func (f *frameWriter) entry(e *pb.Entry, limit int) error {
	var err error
	f.buf, err = proto.MarshalOptions{Deterministic: true}.MarshalAppend(append(f.buf[:0], 0, 0, 0, 0), e)
	if err != nil {
		return err
	}
	if size := len(f.buf) - 4 + sealSize; size > limit {
		return fmt.Errorf("entry of %d bytes, at most %d: %w", size, limit, ErrLimit)
	}
	f.buf = f.seal(f.buf)
	_, err = f.w.Write(f.buf)
	return err
}

// seal makes an entry of b, a message behind four bytes for its size.
func (f *frameWriter) seal(b []byte) []byte {
	binary.LittleEndian.PutUint32(b, uint32(len(b)-4+sealSize))
	b = append(b, sealTag)
	f.crc = checksum(f.crc, b)
	return binary.LittleEndian.AppendUint32(b, f.crc)
}

// headerDone makes the seals that follow independent of what came before.
func (f *frameWriter) headerDone() { f.crc = 0 }

// frameReader reads entries and checks their seals. Its offset and number are
// of the entry read last.
type frameReader struct {
	r      io.Reader
	buf    bytes.Buffer
	next   int64 // offset of the next entry
	offset int64
	number int
	crc    uint32
	broken bool // the source failed, not the format
}

// magics reads the start of the image.
func (f *frameReader) magics() error {
	f.number = -1
	var b [magicSize]byte
	n, err := io.ReadFull(f.r, b[:])
	f.next = int64(n)
	if n == 0 && errors.Is(err, io.EOF) {
		return fmt.Errorf("nothing to read, did what writes it fail? %w", ErrTruncated)
	}
	if err != nil {
		return f.readError(err)
	}
	common, tree := binary.LittleEndian.Uint32(b[:]), binary.LittleEndian.Uint32(b[4:])
	switch {
	case common == magicCommon && tree != magicTree:
		return fmt.Errorf("an image of CRIU's of another kind (magic %#x): %w", tree, ErrNotImage)
	case common != magicCommon:
		return fmt.Errorf("starts with %#x, not %#x: %w", common, uint32(magicCommon), ErrNotImage)
	}
	f.crc = checksum(0, b[:])
	return nil
}

// entry reads the next entry, of at most limit bytes, into e.
func (f *frameReader) entry(e *pb.Entry, limit uint32) error {
	f.number++
	f.offset = f.next
	var head [4]byte
	n, err := io.ReadFull(f.r, head[:])
	f.next += int64(n)
	if err != nil {
		return f.readError(err)
	}
	size := binary.LittleEndian.Uint32(head[:])
	if size > limit {
		return fmt.Errorf("entry of %d bytes, at most %d: %w", size, limit, ErrLimit)
	}
	if size < sealSize {
		return fmt.Errorf("entry of %d bytes has no room for a seal: %w", size, ErrInvalid)
	}
	// The buffer grows with what comes, not with what the size claims.
	f.buf.Reset()
	got, err := io.CopyN(&f.buf, f.r, int64(size))
	f.next += got
	if err != nil {
		return f.readError(err)
	}
	body, seal := f.buf.Bytes()[:size-4], f.buf.Bytes()[size-4:]
	f.crc = checksum(checksum(f.crc, head[:]), body)
	if body[len(body)-1] != sealTag || binary.LittleEndian.Uint32(seal) != f.crc {
		return ErrChecksum
	}
	// Entries nest four deep; what is unknown may nest a little deeper.
	options := proto.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: 8}
	if err := options.Unmarshal(f.buf.Bytes(), e); err != nil {
		return fmt.Errorf("sealed bytes are no entry: %w", ErrInvalid)
	}
	return nil
}

// headerDone makes the seals that follow independent of what came before.
func (f *frameReader) headerDone() { f.crc = 0 }

// readError makes of an early end what it is, and marks any other failure as
// the source's.
func (f *frameReader) readError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrTruncated
	}
	f.broken = true
	return err
}

// fail adds to err where it happened. A failure of the source is no fault of
// the format.
func (f *frameReader) fail(err error) error {
	if f.broken {
		return fmt.Errorf("read image at byte %d: %w", f.next, err)
	}
	return &FormatError{Offset: f.offset, Entry: f.number, Err: err}
}
