//go:build linux

package dump

import (
	"testing"
)

func TestAllIsValid(t *testing.T) {
	g, err := All(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Validate(); err != nil {
		t.Error(err)
	}
}
