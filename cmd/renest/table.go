package main

import (
	"bytes"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/renest/renest/topology"
)

// table lays out cells in columns, as text/tabwriter does with tabs between them,
// in a tenth of the time, which counts where there are ten thousand rows. Cells
// are written into it one after the other, each with end behind it.
type table struct {
	text   []byte
	ends   []int // of each cell in text
	widths []int // of each column, in characters; below 0 of one that is left out
	last   int   // how many of the last column's are shown at most, if not 0
}

// newTable begins a table with its headings.
func newTable(headings ...string) *table {
	t := &table{widths: make([]int, len(headings))}
	for _, h := range headings {
		t.cell(h)
	}
	return t
}

func (t *table) cell(s string) {
	t.text = append(t.text, s...)
	t.end()
}

func (t *table) number(n uint64) {
	t.text = strconv.AppendUint(t.text, n, 10)
	t.end()
}

// namespace writes the name of one, which may be out of sight.
func (t *table) namespace(n *topology.Namespace) {
	if n == nil {
		t.cell(nameOf(n))
		return
	}
	t.text = n.AppendName(t.text)
	t.end()
}

func (t *table) end() {
	start := 0
	if len(t.ends) > 0 {
		start = t.ends[len(t.ends)-1]
	}
	column := &t.widths[len(t.ends)%len(t.widths)]
	*column = max(*column, utf8.RuneCount(t.text[start:]))
	t.ends = append(t.ends, len(t.text))
}

// fit makes the table no wider than width, if that is not below 0: it leaves out the
// columns that can be spared, and then cuts off the last.
func (t *table) fit(width int, spare ...int) {
	over := -width - 2
	for _, w := range t.widths {
		over += w + 2
	}
	for _, column := range spare {
		if width >= 0 && over > 0 {
			over -= t.widths[column] + 2
			t.widths[column] = -1
		}
	}
	if last := t.widths[len(t.widths)-1]; width >= 0 && over > 0 {
		t.last = max(last-over, 2)
	}
}

// write writes the table, with two blanks between its columns.
func (t *table) write(w io.Writer) error {
	out := make([]byte, 0, 1<<16)
	flush := func() error {
		_, err := w.Write(out)
		out = out[:0]
		return err
	}
	start := 0
	for i, end := range t.ends {
		cell := t.text[start:end]
		start = end
		column := i % len(t.widths)
		if t.widths[column] < 0 {
			continue
		}
		if column == len(t.widths)-1 && t.last > 0 && utf8.RuneCount(cell) > t.last {
			cell = []byte(string([]rune(string(cell))[:t.last-1]) + "…")
		}
		out = append(out, cell...)
		if column < len(t.widths)-1 {
			out = append(out, bytes.Repeat([]byte{' '}, t.widths[column]-utf8.RuneCount(cell)+2)...)
			continue
		}
		if out = append(out, '\n'); len(out) > cap(out)/2 {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}
