package main

import (
	"errors"
	"strconv"
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

// idValue is a flag's namespace id: a number, or :NUMBER as nsenter(1) writes it.
type idValue uint64

func (v *idValue) Set(s string) error {
	id, err := strconv.ParseUint(strings.TrimPrefix(s, ":"), 10, 64)
	if err != nil {
		return errors.New("not a namespace id")
	}
	*v = idValue(id)
	return nil
}

func (v *idValue) String() string {
	if v == nil || *v == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(*v), 10)
}
