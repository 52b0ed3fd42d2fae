package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"syscall"
)

// report is what a run came to.
type report struct {
	Places []place `json:"places"`
	Hit    bool    `json:"hit"`
}

// place is one system call of one process.
type place struct {
	Name string `json:"name"`
	What string `json:"what"` // its string argument, if it has one
}

// spoiling is what is to be done at a place.
type spoiling struct {
	at    string
	errno syscall.Errno
	kill  string
	after bool
}

func main() {
	runtime.LockOSThread() // a tracer is a thread
	code, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "inject:", err)
		code = 125
	}
	os.Exit(code)
}

func run() (int, error) {
	var s spoiling
	file := flag.String("report", "", "write what happened to `FILE`")
	flag.StringVar(&s.at, "at", "", "the `PLACE` to spoil")
	errno := flag.Int("errno", 0, "have the call fail with error `N`")
	flag.StringVar(&s.kill, "kill", "", "kill `WHOM`: 0, crew or guardians")
	flag.BoolVar(&s.after, "after", false, "kill after the call, not before it")
	flag.Parse()
	s.errno = syscall.Errno(*errno)
	if flag.NArg() == 0 || *file == "" || s.at != "" && (s.errno == 0) == (s.kill == "") {
		return 0, errors.New("usage: inject -report FILE [-at PLACE (-errno N | -kill WHOM [-after])] -- CMD…")
	}
	t := newTracer(s)
	code, err := t.trace(flag.Args())
	if err != nil {
		return 0, err
	}
	data, err := json.Marshal(t.report)
	if err != nil {
		return 0, err
	}
	return code, os.WriteFile(*file, data, 0o600)
}
