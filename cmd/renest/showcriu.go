package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	dumpcriu "github.com/renest/renest/dump/criu"
	"github.com/renest/renest/images"
	criuimages "github.com/renest/renest/images/criu"
	"github.com/renest/renest/topology"
)

// readCRIU reads the images of CRIU in a directory, nil where there are none. A dump
// in layers has a record that says where each is.
func readCRIU(dir string) ([]criuimages.Part, error) {
	layers := []dumpcriu.LayerRecord{{Dir: "."}}
	var apart []topology.Type
	f, err := images.OpenIn(dir, dumpcriu.RecordName)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		if _, err := os.Stat(filepath.Join(dir, "pstree.img")); err != nil {
			return nil, nil //nolint:nilerr // nothing of CRIU's, whatever it is
		}
	case err != nil:
		return nil, err
	default:
		record, err := dumpcriu.DecodeRecord(f)
		_ = f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name(), err)
		}
		layers, apart = record.Layers, dumpcriu.ApartTypes[:]
	}
	var parts []criuimages.Part
	for _, l := range layers {
		path := filepath.Join(dir, l.Dir)
		tree, err := criuimages.ReadTree(os.DirFS(path))
		if err != nil {
			return nil, fmt.Errorf("CRIU's images in %s: %w", path, err)
		}
		parts = append(parts, criuimages.Part{Tree: tree, PID: l.PID, Apart: apart})
	}
	return parts, nil
}

// writeJoined says whether CRIU's images and the topology are of the same tree.
func writeJoined(w io.Writer, g *topology.Graph, parts []criuimages.Part) error {
	tasks := 0
	for i := range parts {
		if parts[i].PID == 0 {
			parts[i].PID = g.Header.Root
		}
		tasks += len(parts[i].Tree.Tasks)
	}
	lines := criuimages.Join(g, parts)
	if len(lines) == 0 {
		_, err := fmt.Fprintf(w, "CRIU's images agree: %s, in the same namespaces\n", several(tasks, "task"))
		return err
	}
	if _, err := fmt.Fprintf(w, "CRIU's images, of %s, disagree:\n", several(tasks, "task")); err != nil {
		return err
	}
	for _, line := range lines {
		if _, err := fmt.Fprintf(w, "  %s\n", printable(line)); err != nil {
			return err
		}
	}
	return exitError{code: 1}
}
