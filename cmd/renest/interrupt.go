package main

import "context"

// unlessInterrupted returns what f does or, once ctx ends, why it did. What it leaves
// behind then may wait for a pipe that nobody writes to, or reads, as long as it
// likes: the process ends.
func unlessInterrupted[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := f()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}
