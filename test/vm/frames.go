package vm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/renest/renest/test/vm/wire"
)

// ErrCutShort says that a VM ended before its script did.
var ErrCutShort = errors.New("the VM ended before its script did")

// errNoBoot says that a VM ended before init had begun with the script.
var errNoBoot = fmt.Errorf("the VM did not boot: %w", ErrCutShort)

// readFrames collects what init says until it is done.
func readFrames(r io.Reader, commands int) (*Result, error) {
	c := newCollector(commands)
	dec := json.NewDecoder(r)
	for {
		var f wire.Frame
		err := dec.Decode(&f)
		switch {
		case errors.Is(err, io.EOF) && !c.booted:
			return c.finish(), errNoBoot
		case errors.Is(err, io.EOF) && !c.done:
			return c.finish(), ErrCutShort
		case errors.Is(err, io.EOF):
			return c.finish(), nil
		case err != nil:
			return c.finish(), fmt.Errorf("frames of init: %w", err)
		}
		if err := c.add(f); err != nil {
			return c.finish(), err
		}
	}
}

// collector puts a Result together from frames.
type collector struct {
	result                 Result
	output, stdout, stderr []strings.Builder
	booted, done           bool
}

func newCollector(commands int) *collector {
	c := &collector{
		result: Result{Commands: make([]CommandResult, commands), Files: map[string][]byte{}},
		output: make([]strings.Builder, commands),
		stdout: make([]strings.Builder, commands),
		stderr: make([]strings.Builder, commands),
	}
	for i := range c.result.Commands {
		c.result.Commands[i] = CommandResult{Code: -1, Why: "never ran"}
	}
	return c
}

func (c *collector) add(f wire.Frame) error {
	switch {
	case f.Booted != nil:
		c.booted = true
	case f.Output != nil:
		i := f.Output.Command
		if i < 0 || i >= len(c.output) {
			return fmt.Errorf("frames of init: output of command %d of %d", i, len(c.output))
		}
		c.output[i].Write(f.Output.Data)
		stream := &c.stdout[i]
		if f.Output.Stderr {
			stream = &c.stderr[i]
		}
		stream.Write(f.Output.Data)
	case f.Exit != nil:
		i := f.Exit.Command
		if i < 0 || i >= len(c.output) {
			return fmt.Errorf("frames of init: exit of command %d of %d", i, len(c.output))
		}
		c.result.Commands[i] = CommandResult{Code: f.Exit.Code, Why: f.Exit.Why, Duration: f.Exit.Duration}
	case f.File != nil:
		c.result.Files[f.File.Path] = append(c.result.Files[f.File.Path], f.File.Data...)
	case f.Error != nil:
		return fmt.Errorf("init: %s", *f.Error)
	case f.Done != nil:
		c.done = true
	}
	return nil
}

func (c *collector) finish() *Result {
	for i := range c.output {
		c.result.Commands[i].Output = c.output[i].String()
		c.result.Commands[i].Stdout = c.stdout[i].String()
		c.result.Commands[i].Stderr = c.stderr[i].String()
	}
	return &c.result
}
