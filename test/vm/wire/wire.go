// Package wire is what the host and the init of a VM say to each other: a Script
// on the way in, Frames on the way out.
package wire

import "time"

// ScriptPath is where the script lies in the VM.
const ScriptPath = "/script.json"

// ModulesPath is where the kernel modules lie that the VM is to load.
const ModulesPath = "/modules"

// Script is what a VM is to do.
type Script struct {
	Port     string // the serial port that frames leave by
	Commands []Command
	Collect  []string // files to carry out at the end, patterns of filepath.Match
}

// Command is one program to run in a VM.
type Command struct {
	Name    string   // for people; Args[0] where empty
	Args    []string // Args[0] is a path, or is looked up in /bin and /sbin
	Env     []string // added to PATH, HOME, TMPDIR and XDG_RUNTIME_DIR
	Dir     string   // working directory, / where empty
	UID     int      // also the gid; there are no supplementary groups
	Timeout time.Duration
}

// Frame is one piece of what came of a script, one JSON object a line. Its kind
// is told by which of the pointers is set.
type Frame struct {
	Booted *Booted `json:",omitempty"` // the first frame
	Output *Output `json:",omitempty"`
	Exit   *Exit   `json:",omitempty"`
	File   *File   `json:",omitempty"`
	Error  *string `json:",omitempty"` // init itself failed
	Done   *Done   `json:",omitempty"` // the last frame
}

// Booted opens the stream: the system is up and the commands come.
type Booted struct{}

// Output is something that a command printed.
type Output struct {
	Command int // its place in the script
	Stderr  bool
	Data    []byte
}

// Exit is how a command ended.
type Exit struct {
	Command  int
	Code     int    // -1 where it did not exit by itself
	Why      string // what else is known: a signal, a timeout, no such file
	Duration time.Duration
}

// File is a part of a file that is carried out; an empty part ends it.
type File struct {
	Path string
	Data []byte
}

// Done closes the stream.
type Done struct {
	Commands int // how many were run
}
