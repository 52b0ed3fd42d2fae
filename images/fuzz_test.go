package images

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/renest/renest/images/internal/nstreepb"
)

// FuzzDecode gives the decoder bytes; few get past the first seal.
func FuzzDecode(f *testing.F) {
	for _, image := range [][]byte{encoded(f, small()), encoded(f, full())} {
		f.Add(image)
		f.Add(image[:len(image)/2])
		f.Add(image[:headerEnd(image)])
	}
	f.Add([]byte{})
	f.Fuzz(decodeAndBack)
}

// FuzzSealed gives the decoder entries that are sealed as they should be: data
// is a list of entries, each behind a size of two bytes.
func FuzzSealed(f *testing.F) {
	for _, image := range [][]byte{encoded(f, small()), encoded(f, full())} {
		r := frameReader{r: bytes.NewReader(image)}
		if err := r.magics(); err != nil {
			f.Fatal(err)
		}
		var seed []byte
		for {
			var e pb.Entry
			if err := r.entry(&e, maxEntry); err != nil {
				break
			}
			if r.number == 0 {
				r.headerDone()
			}
			e.Seal = 0
			b, err := proto.Marshal(&e)
			if err != nil {
				f.Fatal(err)
			}
			seed = append(append(seed, byte(len(b)), byte(len(b)>>8)), b...)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var b bytes.Buffer
		w := frameWriter{w: &b}
		if err := w.magics(); err != nil {
			t.Fatal(err)
		}
		for first := true; len(data) >= 2; first = false {
			size := min(int(data[0])|int(data[1])<<8, len(data)-2)
			b.Write(w.seal(append(make([]byte, 4, 4+size), data[2:2+size]...)))
			data = data[2+size:]
			if first {
				w.headerDone()
			}
		}
		decodeAndBack(t, b.Bytes())
	})
}

// decodeAndBack checks that what can be read can be written and read again, to
// the same bytes.
func decodeAndBack(t *testing.T, image []byte) {
	g, err := Decode(bytes.NewReader(image))
	if err != nil {
		return
	}
	first := encoded(t, g)
	again, err := Decode(bytes.NewReader(first))
	if err != nil {
		t.Fatalf("written again: %v", err)
	}
	if !bytes.Equal(first, encoded(t, again)) {
		t.Error("two writings differ")
	}
}
