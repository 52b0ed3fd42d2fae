package main

import (
	"strings"

	"github.com/renest/renest/dump"
	"github.com/renest/renest/topology"
)

// taskValue is a flag's process.
type taskValue dump.TaskReference

func (v *taskValue) Set(s string) error {
	r, err := dump.ParseTaskReference(s)
	*v = taskValue(r)
	return err
}

func (v *taskValue) String() string {
	if v == nil || *v == (taskValue{}) {
		return ""
	}
	return dump.TaskReference(*v).String()
}

// typesValue is a flag's list of types of namespace.
type typesValue []topology.Type

func (v *typesValue) Set(s string) error {
	for name := range strings.SplitSeq(s, ",") {
		t, err := topology.ParseType(name)
		if err != nil {
			return err
		}
		*v = append(*v, t)
	}
	return nil
}

func (v *typesValue) String() string {
	if v == nil {
		return ""
	}
	var names []string
	for _, t := range *v {
		names = append(names, t.String())
	}
	return strings.Join(names, ",")
}
