package images

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/renest/renest/topology"
)

// names lists what is in dir.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestWriteFile(t *testing.T) {
	tests := map[string]struct {
		path string // in a fresh directory, which holds old, link -> old and sub/
		want []string
	}{
		"new":      {"new", []string{"link", "new", "old", "sub"}},
		"replaced": {"old", []string{"link", "old", "sub"}},
		"link":     {"link", []string{"link", "old", "sub"}},
		"below":    {"sub/new", []string{"link", "old", "sub"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "old"), []byte("old"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("old", filepath.Join(dir, "link")); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, tt.path)
			if err := WriteFile(path, full()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, names(t, dir)); diff != "" {
				t.Errorf("(-want +there)\n%s", diff)
			}
			if l, err := os.Readlink(filepath.Join(dir, "link")); l != "old" {
				t.Errorf("the link was replaced: %v", err)
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode() != fileMode {
				t.Errorf("mode %v, want %v", info.Mode(), fs.FileMode(fileMode))
			}
			g, err := ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(full(), g); diff != "" {
				t.Errorf("(-written +read)\n%s", diff)
			}
		})
	}
}

// TestWriteFileFails: what was there is still there, and nothing else is.
func TestWriteFileFails(t *testing.T) {
	bad := full()
	bad.Tasks = append(bad.Tasks, bad.Tasks[0]) // refused after all the rest is written
	for _, name := range []string{"new", "old"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "old"), []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		err := WriteFile(filepath.Join(dir, name), bad)
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v, want %v", name, err, ErrInvalid)
		}
		if diff := cmp.Diff([]string{"old"}, names(t, dir)); diff != "" {
			t.Errorf("%s: (-want +there)\n%s", name, diff)
		}
		if b, _ := os.ReadFile(filepath.Join(dir, "old")); string(b) != "old" {
			t.Errorf("%s: the old file is now %q", name, b)
		}
	}
}

// TestNamedTemp takes the way of file systems without O_TMPFILE.
func TestNamedTemp(t *testing.T) {
	for _, publish := range []bool{true, false} {
		dir := t.TempDir()
		f, err := os.CreateTemp(dir, "tmp")
		if err != nil {
			t.Fatal(err)
		}
		temp := &tempFile{file: f, dir: dir, base: "image", name: f.Name()}
		var want []string
		if publish {
			want = []string{"image"}
			if err := temp.publish(filepath.Join(dir, "image")); err != nil {
				t.Fatal(err)
			}
		}
		if err := temp.discard(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, names(t, dir)); diff != "" {
			t.Errorf("publish %v: (-want +there)\n%s", publish, diff)
		}
	}
}

func TestWriteFileRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := WriteFile(dir, full()); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("onto a directory: %v", err)
	}
	if err := WriteFile(filepath.Join(dir, "no", "image"), full()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("into no directory: %v", err)
	}
}

func TestWriteDir(t *testing.T) {
	for name, write := range map[string]func(string, *topology.Graph) error{"synced": WriteDir, "beside": WriteBeside} {
		t.Run(name+", made", func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "images")
			for range 2 {
				if err := write(dir, full()); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff([]string{Name}, names(t, dir)); diff != "" {
				t.Errorf("(-want +there)\n%s", diff)
			}
			if _, err := ReadFile(dir); err != nil {
				t.Error(err)
			}
		})
		t.Run(name+", taken back", func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "images")
			if err := write(dir, &topology.Graph{Header: topology.Header{Version: 9}}); !errors.Is(err, ErrVersion) {
				t.Errorf("got %v, want %v", err, ErrVersion)
			}
			if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the directory was left: %v", err)
			}
		})
	}
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	image := encoded(t, small())
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := map[string]struct {
		path string
		want error
		says string
	}{
		"none":           {filepath.Join(dir, "none"), fs.ErrNotExist, "read image"},
		"empty folder":   {dir, fs.ErrNotExist, "has no nstree.img"},
		"longer":         {write("longer", append(bytes.Clone(image), 0)), ErrInvalid, "more bytes"},
		"shorter":        {write("shorter", image[:len(image)-1]), ErrTruncated, "shorter"},
		"something else": {write("else", []byte("something else")), ErrNotImage, "else"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := ReadFile(tt.path)
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %v with %q", err, tt.want, tt.says)
			}
		})
	}
}
