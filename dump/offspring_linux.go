package dump

import (
	"bytes"
	"strconv"
)

// offspring appends the descendants of some processes, by the file children of each
// of their threads (proc_pid_children(5)). One that ends meanwhile was none, and its
// children are another's; in a tree that stands still nothing is missed.
func (d *dumper) offspring(pids []int) []int {
	var threads []int
	for i := 0; i < len(pids); i++ {
		t, err := d.proc.Task(pids[i])
		if err != nil {
			continue
		}
		threads = append(threads[:0], pids[i])
		if n, countErr := t.NumThreads(); countErr != nil || n != 1 {
			threads, err = t.Threads(threads[:0])
		}
		for _, tid := range threads {
			if err == nil {
				var text []byte
				text, err = t.ReadFile("task/" + strconv.Itoa(tid) + "/children")
				for number := range bytes.FieldsSeq(text) {
					if pid, err := strconv.Atoi(string(number)); err == nil {
						pids = append(pids, pid)
					}
				}
			}
		}
		t.Close()
	}
	return pids
}
