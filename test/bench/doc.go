// Package bench measures renest against others, side by side in one run:
//
//	go test -bench . ./test/bench
//
// What counts is the ratios: a round runs every contender once, one after the
// other, and what is printed is the medians over the rounds, and how renest's
// relates to each. The floors are C programs in testdata, compiled when needed,
// that do the bare work and nothing else.
package bench
