package topology

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
)

// WriteJSON writes g as [Graph.MarshalJSON] has it, each field on a line and a
// blank for each level, and a newline at its end. It holds one namespace or task
// at a time.
func WriteJSON(w io.Writer, g *Graph) error {
	j := jsonWriter{out: bufio.NewWriterSize(w, 1<<16)}
	j.field("{", "header")
	j.value(g.Header, 1)
	j.field(",", "namespaces")
	writeList(&j, g.Namespaces)
	j.field(",", "tasks")
	writeList(&j, g.Tasks)
	j.text("\n}\n")
	if j.err != nil {
		return j.err
	}
	return j.out.Flush()
}

// jsonWriter writes until there is an error.
type jsonWriter struct {
	out *bufio.Writer
	buf bytes.Buffer
	err error
}

func (j *jsonWriter) text(s string) {
	if j.err == nil {
		_, j.err = j.out.WriteString(s)
	}
}

func (j *jsonWriter) field(before, name string) { j.text(before + "\n \"" + name + "\": ") }

// value writes one, which is on a line at this level already.
func (j *jsonWriter) value(v json.Marshaler, level int) {
	if j.err != nil {
		return
	}
	b, err := v.MarshalJSON()
	if err == nil {
		j.buf.Reset()
		err = json.Indent(&j.buf, b, blanks[:level], " ")
	}
	if j.err = err; err == nil {
		_, j.err = j.out.Write(j.buf.Bytes())
	}
}

const blanks = "  "

func writeList[T json.Marshaler](j *jsonWriter, list []T) {
	if len(list) == 0 {
		j.text("[]")
		return
	}
	separator := "[\n  "
	for _, v := range list {
		j.text(separator)
		j.value(v, 2)
		separator = ",\n  "
	}
	j.text("\n ]")
}
