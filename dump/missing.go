package dump

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// missing gathers what could not be seen. A host that hides ten thousand tasks
// from an ordinary user gets a few lines, not ten thousand: the same ones each time,
// whoever of those who look comes across them first.
type missing struct {
	mu   sync.Mutex
	what map[string]map[string]bool // the objects, by what is missing of them
}

// missingMax is how many objects are named for one reason.
const missingMax = 16

// add notes that what could not be read of object. What is a phrase, such as
// "links: permission denied".
func (m *missing) add(object, what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.what == nil {
		m.what = map[string]map[string]bool{}
	}
	if m.what[what] == nil {
		m.what[what] = map[string]bool{}
	}
	m.what[what][object] = true
}

// lines returns one line for each object that is named, and one for the rest.
func (m *missing) lines() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var lines []string
	for what, set := range m.what {
		objects := slices.Sorted(maps.Keys(set))
		for _, o := range objects[:min(len(objects), missingMax)] {
			lines = append(lines, o+": "+what)
		}
		if more := len(objects) - missingMax; more > 0 {
			lines = append(lines, fmt.Sprintf("… and %d more: %s", more, what))
		}
	}
	for i, line := range lines {
		lines[i] = strings.ReplaceAll(line, "\n", `\n`) // of a path, or of what a task calls itself
	}
	slices.Sort(lines)
	return lines
}
