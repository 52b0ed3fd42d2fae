package main

import (
	"os"
	"time"

	"github.com/cheggaaa/pb/v3"
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
	var bar *pb.ProgressBar
	show = func(done, total int) {
		if bar == nil && time.Since(start) < patience {
			return
		}
		if bar == nil {
			bar = pb.ProgressBarTemplate(`{{string . "doing"}} {{bar . }} {{percent . }} {{etime . }}`).
				New(total+1). // the last is to look at what was made
				SetWriter(c.App.ErrWriter).
				SetRefreshRate(50*time.Millisecond).
				SetMaxWidth(72).
				Set("doing", "restoring").
				Set(pb.CleanOnFinish, true).
				Start()
		}
		if done == total {
			bar.Set("doing", "verifying")
		}
		bar.SetCurrent(int64(done))
	}
	return show, func() {
		if bar != nil {
			bar.Finish()
		}
	}
}
