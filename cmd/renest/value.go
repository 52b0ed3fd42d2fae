package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/renest/renest/topology"
)

// pidValue is a flag's process id.
type pidValue int

func (v *pidValue) Set(s string) error {
	pid, err := parsePID(s)
	*v = pidValue(pid)
	return err
}

func (v *pidValue) String() string {
	if v == nil || *v == 0 {
		return ""
	}
	return strconv.Itoa(int(*v))
}

// parsePID reads a process id.
func parsePID(s string) (int, error) {
	pid, err := strconv.ParseInt(s, 10, 32)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, errors.New("no process has such a number")
	case err != nil:
		return 0, errors.New("not a process id, which is a number")
	case pid <= 0:
		return 0, errors.New("a process id is above 0")
	}
	return int(pid), nil
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
