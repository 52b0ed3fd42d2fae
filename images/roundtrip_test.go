package images

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	pb "github.com/renest/renest/images/internal/nstreepb"
	"github.com/renest/renest/topology"
)

func TestRoundTrip(t *testing.T) {
	for name, g := range map[string]*topology.Graph{
		"full": full(), "small": small(), "empty": {Header: topology.Header{Version: Version}}, "hub": hub(400), "sandboxes": sandboxes(20),
	} {
		t.Run(name, func(t *testing.T) {
			image := encoded(t, g)
			got, err := Decode(bytes.NewReader(image))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(g, got); diff != "" {
				t.Errorf("(-written +read)\n%s", diff)
			}
			if again := encoded(t, got); !bytes.Equal(image, again) {
				t.Error("the same graph, read and written again, gives other bytes")
			}
		})
	}
}

// TestFixtureIsFull makes TestRoundTrip cover the fields that topology will
// have one day: a field that is zero everywhere in the fixture fails here.
func TestFixtureIsFull(t *testing.T) {
	set := map[string]bool{}
	seen := map[any]bool{}
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() && !seen[v.Interface()] {
				seen[v.Interface()] = true
				walk(v.Elem())
			}
		case reflect.Slice, reflect.Array:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Struct:
			if v.Type() == reflect.TypeFor[time.Time]() {
				return
			}
			for i := range v.NumField() {
				field := v.Type().String() + "." + v.Type().Field(i).Name
				set[field] = set[field] || !v.Field(i).IsZero()
				walk(v.Field(i))
			}
		}
	}
	walk(reflect.ValueOf(full()))
	if len(set) < 40 {
		t.Errorf("only %d fields seen", len(set))
	}
	for field, ok := range set {
		if !ok {
			t.Errorf("%s is zero everywhere in the fixture: no test writes and reads it", field)
		}
	}
}

// TestNumbers keeps the numbers of the format equal to topology's, which the
// code relies on.
func TestNumbers(t *testing.T) {
	got, want := map[string]int{}, map[string]int{}
	for _, n := range topology.Types {
		got[n.String()] = int(n)
	}
	for name, n := range pb.NamespaceType_value {
		if n != 0 {
			want[strings.ToLower(name)] = int(n)
		}
	}
	for s := topology.Active; s <= topology.Unborn; s++ {
		got[s.String()] = int(s)
	}
	for name, n := range pb.State_value {
		want[strings.ToLower(name)] = int(n)
	}
	for name, k := range map[string]topology.PinKind{
		"TASK": topology.PinTask, "THREAD": topology.PinThread, "PID_FOR_CHILDREN": topology.PinPIDForChildren,
		"TIME_FOR_CHILDREN": topology.PinTimeForChildren, "FD": topology.PinFD, "BIND": topology.PinBind,
		"SOCKET": topology.PinSocket, "CHILD": topology.PinChild, "OWNED": topology.PinOwned,
		"IN_FLIGHT": topology.PinInFlight,
	} {
		got[name] = int(k)
	}
	for name, n := range pb.PinKind_value {
		if n != 0 {
			want[name] = int(n)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-format +topology)\n%s", diff)
	}
}

// TestDeterministic: who looked, and when, changes the header alone.
func TestDeterministic(t *testing.T) {
	a, b := full(), full()
	b.Header = topology.Header{Tool: "another", Created: a.Header.Created.Add(time.Hour), Complete: true}
	first, second := encoded(t, a), encoded(t, b)
	first, second = first[headerEnd(first):], second[headerEnd(second):]
	if !bytes.Equal(first, second) {
		t.Error("the bytes after the header differ")
	}
}

// headerEnd returns the length of the magics and the header entry.
func headerEnd(image []byte) int {
	f := frameReader{r: bytes.NewReader(image)}
	if f.magics() != nil || f.entry(new(pb.Entry), maxHeader) != nil {
		return -1
	}
	return int(f.next)
}

// TestStream: no byte behind the image is taken, whichever way they come.
func TestStream(t *testing.T) {
	image := encoded(t, full())
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"at once":      func(r io.Reader) io.Reader { return r },
		"byte by byte": iotest.OneByteReader, "halves": iotest.HalfReader,
	} {
		t.Run(name, func(t *testing.T) {
			r := strings.NewReader(string(image) + string(image) + "rest")
			for range 2 {
				if _, err := Decode(wrap(r)); err != nil {
					t.Fatal(err)
				}
			}
			if rest, _ := io.ReadAll(r); string(rest) != "rest" {
				t.Errorf("left behind: %q", rest)
			}
		})
	}
}

func TestPipe(t *testing.T) {
	g := sandboxes(2000)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	done := make(chan error, 1)
	go func() { done <- func() error { defer w.Close(); return Encode(w, g) }() }()
	got, err := Decode(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if len(got.Namespaces) != len(g.Namespaces) {
		t.Errorf("%d namespaces, want %d", len(got.Namespaces), len(g.Namespaces))
	}
}

// TestSize holds the image to its budget: 64 bytes a namespace without maps and
// pins.
func TestSize(t *testing.T) {
	g := sandboxes(2000)
	image := encoded(t, g)
	per := float64(len(image)) / float64(len(g.Namespaces))
	t.Logf("%.1f bytes a namespace", per)
	if per > 64 {
		t.Errorf("%.1f bytes a namespace, want at most 64", per)
	}
}

func benchmarkGraph(b *testing.B) (*topology.Graph, []byte) {
	g := sandboxes(2000)
	return g, encoded(b, g)
}

func BenchmarkEncode(b *testing.B) {
	g, image := benchmarkGraph(b)
	b.SetBytes(int64(len(image)))
	b.ReportAllocs()
	for b.Loop() {
		if err := Encode(io.Discard, g); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(image))/float64(len(g.Namespaces)), "B/namespace")
}

func BenchmarkDecode(b *testing.B) {
	_, image := benchmarkGraph(b)
	b.SetBytes(int64(len(image)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(bytes.NewReader(image)); err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleEncode() {
	host := &topology.Namespace{Type: topology.User, Ino: 4026531837, External: true}
	g := &topology.Graph{Namespaces: []*topology.Namespace{host}}
	var image bytes.Buffer
	if err := Encode(&image, g); err != nil {
		fmt.Println(err)
		return
	}
	read, err := Decode(&image)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(read.Namespaces[0].Name())
	// Output: user:[4026531837]
}
