package topology

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// FormatIDMap returns m as it is written to /proc/PID/uid_map: one "a b c\n" a
// line, unpadded. The kernel takes a map in one write shorter than a page, and
// the padded form that it prints itself is too long at 340 extents.
func FormatIDMap(m []Extent) string {
	b := make([]byte, 0, 24*len(m))
	for _, e := range m {
		b = strconv.AppendUint(b, uint64(e.Inside), 10)
		b = append(b, ' ')
		b = strconv.AppendUint(b, uint64(e.Outside), 10)
		b = append(b, ' ')
		b = strconv.AppendUint(b, uint64(e.Count), 10)
		b = append(b, '\n')
	}
	return string(b)
}

// ParseIDMap reads the text of /proc/PID/uid_map or gid_map, padded or not. An
// extent whose Outside is [NoID] is kept: it is mapped to ids that the reader's
// user namespace does not know. An empty text is an empty map.
//
// ParseIDMap checks the form only; see [ValidateIDMap].
func ParseIDMap(text string) ([]Extent, error) {
	var m []Extent
	n := 0
	for line := range strings.Lines(text) {
		n++
		if strings.TrimSpace(line) == "" {
			continue
		}
		e, err := parseExtent(line)
		if err != nil {
			return nil, fmt.Errorf("parse id map, line %d %q: %w", n, clip(strings.TrimSpace(line), 60), err)
		}
		m = append(m, e)
	}
	return m, nil
}

func parseExtent(line string) (Extent, error) {
	f := strings.Fields(line)
	if len(f) != 3 {
		return Extent{}, fmt.Errorf("%d fields, not 3", len(f))
	}
	var v [3]uint32
	for i, s := range f {
		u, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			// The number is in the line quoted by the caller: the cause is enough.
			return Extent{}, fmt.Errorf("field %d: %w", i+1, errors.Unwrap(err))
		}
		v[i] = uint32(u)
	}
	return Extent{Inside: v[0], Outside: v[1], Count: v[2]}, nil
}

// clip shortens s to at most n bytes, so that hostile input does not fill an
// error.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// idMapLine returns m on one line, for people: 0→100000+65536 1000→5+1.
func idMapLine(m []Extent) string {
	if len(m) == 0 {
		return "none"
	}
	return strings.Join(extentTexts(m), " ")
}

// extentTexts returns a word for each extent: 0→100000+65536.
func extentTexts(m []Extent) []string {
	var out []string
	for _, e := range m {
		outside := "?"
		if e.Outside != NoID {
			outside = strconv.FormatUint(uint64(e.Outside), 10)
		}
		out = append(out, fmt.Sprintf("%d→%s+%d", e.Inside, outside, e.Count))
	}
	return out
}
