package main

import (
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"
)

// progress returns what shows on a terminal how far a restore has come, for one that
// takes long enough to be wondered at, and what takes it away again. Elsewhere it
// shows nothing.
func progress(c *cli.Context) (show func(done, total int), wipe func()) {
	const patience = 300 * time.Millisecond
	if _, ok := terminal(c.App.ErrWriter); !ok || os.Getenv("TERM") == "dumb" {
		return nil, func() {}
	}
	start := time.Now()
	var bar *progressbar.ProgressBar
	show = func(done, total int) {
		if bar == nil && time.Since(start) < patience {
			return
		}
		if bar == nil {
			bar = progressbar.NewOptions(total+1, // the last is to look at what was made
				progressbar.OptionSetWriter(c.App.ErrWriter),
				progressbar.OptionSetDescription("restoring"),
				progressbar.OptionThrottle(50*time.Millisecond),
				progressbar.OptionUseANSICodes(true),
				progressbar.OptionSetElapsedTime(true),
				progressbar.OptionSetWidth(40),
			)
		}
		if done == total {
			bar.Describe("verifying")
		}
		// A terminal that takes no bar is no reason to stop.
		_ = bar.Set(done)
	}
	return show, func() {
		if bar != nil {
			_ = bar.Clear()
		}
	}
}
