package debian

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
)

// Command is the whole of a command that brings something into the user's cache: it
// parses the flags, of which -u is to fetch what is there already once more, calls fetch
// and returns the exit code.
func Command(what string, fetch func(ctx context.Context, update bool) error) int {
	update := flag.Bool("u", false, "fetch the newest "+what+" even where there is one")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := fetch(ctx, *update); err != nil {
		fmt.Fprintln(os.Stderr, "fetch:", err)
		return 1
	}
	return 0
}
