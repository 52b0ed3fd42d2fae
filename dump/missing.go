package dump

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// missing gathers what could not be seen. A host that hides ten thousand tasks
// from an ordinary user gets a few lines, not ten thousand.
type missing struct {
	mu   sync.Mutex
	what map[string]*hidden
}

type hidden struct {
	objects []string
	count   int
}

// missingMax is how many objects are named for one reason.
const missingMax = 16

// add notes that what could not be read of object. What is a phrase, such as
// "links: permission denied".
func (m *missing) add(object, what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.what == nil {
		m.what = map[string]*hidden{}
	}
	h := m.what[what]
	if h == nil {
		h = &hidden{}
		m.what[what] = h
	}
	if slices.Contains(h.objects, object) {
		return
	}
	h.count++
	if len(h.objects) < missingMax {
		h.objects = append(h.objects, object)
	}
}

// lines returns one line for each object that is named, and one for the rest.
func (m *missing) lines() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var lines []string
	for what, h := range m.what {
		for _, o := range h.objects {
			lines = append(lines, o+": "+what)
		}
		if more := h.count - len(h.objects); more > 0 {
			lines = append(lines, fmt.Sprintf("… and %d more: %s", more, what))
		}
	}
	for i, line := range lines {
		lines[i] = strings.ReplaceAll(line, "\n", `\n`) // of a path, or of what a task calls itself
	}
	slices.Sort(lines)
	return lines
}
