package main

import (
	"os"
	"runtime"
	"runtime/debug"
)

// collectLate has the first garbage collection wait until there are 16 MiB: most
// commands are over by then, and those that are not go on as usual afterwards.
func collectLate() {
	if os.Getenv("GOGC") != "" {
		return
	}
	const late = 400 // percent of the 4 MiB from which the runtime begins
	usual := debug.SetGCPercent(late)
	first := new([64]byte)
	runtime.AddCleanup(first, func(usual int) { debug.SetGCPercent(usual) }, usual)
}
