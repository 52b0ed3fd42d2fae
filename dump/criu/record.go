package criu

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// RecordName is the name of the file with the [Record], beside nstree.img.
const RecordName = "renest.json"

// Record says which CRIU images make up a dump, and what has to be said to CRIU when
// they are restored.
type Record struct {
	Version int `json:"version"`
	// CRIU is the version that made the images: 40201 is 4.2.1.
	CRIU   int           `json:"criu"`
	Layers []LayerRecord `json:"layers"` // the outermost first
}

// LayerRecord is one run of CRIU.
type LayerRecord struct {
	// Dir is where its images are, below the folder of the record: "." or a name.
	Dir string `json:"dir"`
	// PID is that of the layer's first task in nstree.img.
	PID int `json:"pid"`
	// Parent is that of the first task's parent, where a restore has to see to it:
	// a task of a layer above that is not the init there.
	Parent int `json:"parent,omitempty"`
	// Root is where its root directory was on the host, empty where nowhere. Inside
	// says that it is a path in the mount namespace of the layer above.
	Root   string `json:"root,omitempty"`
	Inside bool   `json:"inside,omitempty"`
	// External are the net namespaces that CRIU was told not to dump.
	External []External `json:"external,omitempty"`
	// Groups are the supplementary groups of the processes in other user namespaces than
	// the first task, by pid, as that one numbers them.
	Groups map[int][]uint32 `json:"groups,omitempty"`
}

// External is a namespace that a restore hands to CRIU.
type External struct {
	Label     string `json:"label"`     // what CRIU calls it
	Namespace string `json:"namespace"` // net:[4026532181] of nstree.img
}

const (
	recordVersion = 1
	maxRecord     = 1 << 20
	maxLayers     = 32 // the kernel nests no more pid namespaces
	maxGroups     = 1 << 16
)

// Encode returns the record's file.
func (r *Record) Encode() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", "  ")
	return append(b, '\n'), err
}

// DecodeRecord reads a record, which may come from a stranger.
func DecodeRecord(from io.Reader) (*Record, error) {
	b, err := io.ReadAll(io.LimitReader(from, maxRecord+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", RecordName, err)
	}
	if len(b) > maxRecord {
		return nil, fmt.Errorf("%s: longer than %d bytes", RecordName, maxRecord)
	}
	r := new(Record)
	if err := json.NewDecoder(bytes.NewReader(b)).Decode(r); err != nil {
		return nil, fmt.Errorf("%s: %w", RecordName, err)
	}
	if err := r.validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", RecordName, err)
	}
	return r, nil
}

func (r *Record) validate() error {
	if r.Version != recordVersion {
		return fmt.Errorf("version %d, this renest knows %d", r.Version, recordVersion)
	}
	if len(r.Layers) == 0 || len(r.Layers) > maxLayers {
		return fmt.Errorf("%d layers", len(r.Layers))
	}
	dirs := map[string]bool{}
	for i, l := range r.Layers {
		switch {
		case i == 0 && l.Inside:
			return errors.New("the root directory of the outermost layer is said to be in the one above")
		case i == 0 && l.Parent != 0 || l.Parent < 0:
			return fmt.Errorf("task %d is said to be a child of task %d, of no layer above", l.PID, l.Parent)
		case l.Dir != filepath.Base(l.Dir) || l.Dir == "" || l.Dir == ".." || l.Dir == "/" || strings.ContainsRune(l.Dir, 0):
			return fmt.Errorf("layer %q is not a folder beside it", l.Dir)
		case dirs[l.Dir]:
			return fmt.Errorf("two layers in folder %q", l.Dir)
		case l.PID <= 0:
			return errors.New("a layer without a pid")
		case tooManyGroups(l.Groups):
			return fmt.Errorf("a task with more than %d groups", maxGroups)
		case l.Root != "" && (!filepath.IsAbs(l.Root) || strings.ContainsRune(l.Root, 0)):
			return fmt.Errorf("root directory %q is not an absolute path", l.Root)
		}
		dirs[l.Dir] = true
	}
	return nil
}

func tooManyGroups(groups map[int][]uint32) bool {
	for _, list := range groups {
		if len(list) > maxGroups { // NGROUPS_MAX
			return true
		}
	}
	return false
}
