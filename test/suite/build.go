package suite

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Module is the module's path.
const Module = "github.com/renest/renest"

// Binary is the compiled tests of one package.
type Binary struct {
	Package  string // import path
	Pure     bool   // makes no system call of its own: the same on every kernel
	Path     string // the executable
	Testdata string // its testdata folder, empty where it has none
}

// Name returns the package's path within the module.
func (b Binary) Name() string {
	if b.Package == Module {
		return "."
	}
	return strings.TrimPrefix(b.Package, Module+"/")
}

// Build compiles the tests of the packages that patterns name, such as
// Module+"/...", into dir, for an architecture as Go names it. They are static, so
// that they run where there is no C library.
func Build(ctx context.Context, dir, arch string, patterns ...string) ([]Binary, error) {
	packages, err := packagesWithTests(ctx, arch, patterns)
	if err != nil {
		return nil, err
	}
	var all []Binary
	for _, p := range packages {
		b := Binary{Package: strings.TrimSuffix(p.ImportPath, ".test"), Pure: !slices.Contains(p.Deps, "golang.org/x/sys/unix")}
		b.Path = filepath.Join(dir, strings.ReplaceAll(b.Name(), "/", "_")+".test")
		if _, err := goTool(ctx, arch, "test", "-c", "-o", b.Path, b.Package); err != nil {
			return nil, err
		}
		testdata := filepath.Join(p.Dir, "testdata")
		if info, err := os.Stat(testdata); err == nil && info.IsDir() {
			b.Testdata = testdata
		}
		all = append(all, b)
	}
	return all, nil
}

// testPackage is what go list -test says of the main package that it makes for the
// tests of another, whose path it has with ".test" behind.
type testPackage struct {
	Name, ImportPath, Dir string
	Deps                  []string
}

func packagesWithTests(ctx context.Context, arch string, patterns []string) ([]testPackage, error) {
	out, err := goTool(ctx, arch, append([]string{"list", "-test", "-json=Name,ImportPath,Dir,Deps"}, patterns...)...)
	if err != nil {
		return nil, err
	}
	var packages []testPackage
	for dec := json.NewDecoder(strings.NewReader(out)); ; {
		var p testPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		if p.Name == "main" && strings.HasSuffix(p.ImportPath, ".test") {
			packages = append(packages, p)
		}
	}
}

// BuildProgram compiles a program of the module into dir, for an architecture, and
// returns its path.
func BuildProgram(ctx context.Context, dir, arch, pkg string) (string, error) {
	file := filepath.Join(dir, path.Base(pkg))
	_, err := goTool(ctx, arch, "build", "-o", file, path.Join(Module, pkg))
	return file, err
}

// Files returns the testdata files of b, relative to its package's folder.
func (b Binary) Files() ([]string, error) {
	if b.Testdata == "" {
		return nil, nil
	}
	var files []string
	src := filepath.Dir(b.Testdata)
	err := filepath.WalkDir(b.Testdata, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(src, path)
		files = append(files, rel)
		return err
	})
	return files, err
}

func goTool(ctx context.Context, arch string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return string(out), nil
}
