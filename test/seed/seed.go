// Package seed gives the tests that leave something to chance where that begins: at the
// same place in every run, so that what has passed does not fail for another reason than
// a change. The environment variable RENEST_SEED has them begin elsewhere: a number, as
// a failure says it, or "new" for another one each time, to look for what nobody thought
// of:
//
//	RENEST_SEED=new go test ./dump -run TestAuthorityAgainstKernel -count 50
package seed

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// Variable is the environment variable that sets the seed.
const Variable = "RENEST_SEED"

// Of returns the seed of a test, and has the test say it.
func Of(t testing.TB) uint64 {
	t.Helper()
	seed := uint64(1)
	switch text := os.Getenv(Variable); text {
	case "":
	case "new":
		seed = rand.Uint64()
	default:
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", Variable, err)
		}
	}
	t.Logf("%s=%d", Variable, seed)
	return seed
}
