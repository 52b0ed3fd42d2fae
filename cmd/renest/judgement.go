package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/renest/renest/dump"
	dumpcriu "github.com/renest/renest/dump/criu"
	"github.com/renest/renest/dump/forecast"
)

// judgement is whether renest criu dump takes a tree that CRIU alone does not keep.
type judgement struct {
	Takes  bool     `json:"takes"`
	Layers []int    `json:"layers,omitempty"` // their first processes
	Why    []string `json:"why,omitempty"`    // it does not
}

// judge asks what renest criu dump decides by. Of a tree that CRIU keeps, it is nil.
func judge(ctx context.Context, tree dump.TaskReference, findings []forecast.Finding) (*judgement, error) {
	if len(findings) == 0 {
		return nil, nil
	}
	says, err := dumpcriu.Judge(ctx, tree, dump.Options{NoSysctls: true})
	if err != nil {
		return nil, err
	}
	j := &judgement{Takes: len(says.Refusals) == 0, Why: says.Refusals}
	if !j.Takes {
		return j, nil
	}
	for _, l := range says.Layers {
		j.Layers = append(j.Layers, l.Root.PID)
	}
	return j, nil
}

// wayOut is what to do about a finding.
func (j *judgement) wayOut(f forecast.Finding) string {
	switch {
	case !f.Kept || !j.Takes:
		return f.Remedy
	case len(j.Layers) > 1:
		return fmt.Sprintf("renest criu dump, which takes the tree in %d layers", len(j.Layers))
	}
	return "renest criu dump and renest criu restore keep it"
}

// write says of a tree why renest criu dump refuses it.
func (j *judgement) write(b *strings.Builder) {
	if j == nil || j.Takes {
		return
	}
	b.WriteString("renest criu dump refuses it:\n")
	for _, line := range j.Why {
		fmt.Fprintf(b, "  %s\n", printable(line))
	}
}
