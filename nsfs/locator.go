//go:build linux

package nsfs

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Locator is how people refer to a namespace. Exactly one of Ref, ID, Task and
// Path is set.
type Locator struct {
	Ref  Ref         // net:[4026531840], the kernel's spelling
	ID   ID          // :42, as nsenter(1) writes it
	Task TaskLocator // 4711/net, and 4711:52340/net for that very process
	Link Link        // with Task
	Path string      // /run/netns/x, ./x
}

// TaskLocator is how people refer to a process or thread: 4711, or 4711:52340
// with its start time, see [Task.StartTime]. A number alone may be another's by
// the time it is read.
type TaskLocator struct {
	PID   int // or SelfPID
	Start uint64
}

// SelfPID is what "self" is read as: the process that uses the locator.
const SelfPID = -1

// ParseLocator reads a reference to a namespace.
func ParseLocator(s string) (Locator, error) {
	if task, name, ok := strings.Cut(s, "/"); ok {
		if !looksLikeTask(task) {
			return Locator{Path: s}, nil
		}
		t, err := ParseTaskLocator(task)
		if err != nil {
			return Locator{}, err
		}
		for l := range Link(NumLinks) {
			if l.String() == name {
				return Locator{Task: t, Link: l}, nil
			}
		}
		return Locator{}, fmt.Errorf("%q is not in /proc/PID/ns, as net and pid_for_children are (a path begins with ./)", name)
	}
	switch {
	case strings.HasPrefix(s, ":"):
		id, err := strconv.ParseUint(s[1:], 10, 64)
		if err != nil || id == 0 {
			return Locator{}, errors.New("not a namespace id, which is a number above 0")
		}
		return Locator{ID: ID(id)}, nil
	case strings.Contains(s, ":["):
		r, err := ParseRef(s)
		if err != nil {
			return Locator{}, errors.New("not of the form net:[4026531840], a type and an inode number")
		}
		return Locator{Ref: r}, nil
	case looksLikeTask(s):
		return Locator{}, fmt.Errorf("a task, and it is in many namespaces: %s/net is one of them", s)
	}
	return Locator{}, errors.New("none of net:[4026531840], :ID, PID/net, PID:START/net and a path with a / in it")
}

// ParseTaskLocator reads a reference to a process.
func ParseTaskLocator(s string) (TaskLocator, error) {
	if s == "self" {
		return TaskLocator{PID: SelfPID}, nil
	}
	digits, start, timed := strings.Cut(s, ":")
	pid, err := strconv.ParseInt(digits, 10, 32)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return TaskLocator{}, errors.New("no process has such a number")
	case err != nil:
		return TaskLocator{}, errors.New("not a process id, which is a number")
	case pid <= 0:
		return TaskLocator{}, errors.New("a process id is above 0")
	}
	t := TaskLocator{PID: int(pid)}
	if timed {
		if t.Start, err = strconv.ParseUint(start, 10, 64); err != nil || t.Start == 0 {
			return TaskLocator{}, fmt.Errorf("%q is not a start time, which is the 22nd field of /proc/PID/stat", start)
		}
	}
	return t, nil
}

// looksLikeTask reports whether s was meant to be a task, well-formed or not.
func looksLikeTask(s string) bool {
	digits, _, _ := strings.Cut(s, ":")
	return s == "self" || digits != "" && strings.Trim(digits, "+-0123456789") == ""
}

// String returns the reference as ParseLocator reads it.
func (l Locator) String() string {
	switch {
	case l.Ref.Type != 0:
		return l.Ref.String()
	case l.ID != 0:
		return l.ID.String()
	case l.Task.PID != 0:
		return l.Task.String() + "/" + l.Link.String()
	}
	return l.Path
}

// String returns the reference as ParseTaskLocator reads it.
func (l TaskLocator) String() string {
	switch {
	case l.PID == SelfPID:
		return "self"
	case l.Start != 0:
		return fmt.Sprintf("%d:%d", l.PID, l.Start)
	}
	return strconv.Itoa(l.PID)
}
