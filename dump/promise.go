package dump

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/renest/renest/dump/forecast"
)

// Promise is what was said before a dump of what CRIU will lose. A tree that was not
// frozen yet may have changed since.
type Promise struct {
	Losses []string `json:"losses"` // kinds, by forecast.Finding.Kind, sorted
	// Fresh was found out then, for the look at the frozen tree.
	Fresh FreshNet `json:"fresh_net"`
}

// promise sums findings up.
func promise(findings []forecast.Finding) *Promise {
	p := &Promise{Losses: []string{}}
	for _, f := range findings {
		p.Losses = append(p.Losses, f.Kind())
	}
	slices.Sort(p.Losses)
	p.Losses = slices.Compact(p.Losses)
	return p
}

// broken returns an error where a loss is found of a kind that was not announced. A
// zombie comes and goes, and is lost to its parent alone.
func (p *Promise) broken(findings []forecast.Finding) error {
	if p == nil {
		return nil // nothing was said before
	}
	for _, f := range findings {
		if f.Rule != forecast.Zombie && !slices.Contains(p.Losses, f.Kind()) {
			return fmt.Errorf("the tree changed before it was frozen: %s: way out: %s, or try again: %w", f, f.WayOut(), ErrVeto)
		}
	}
	return nil
}

// Encode writes a promise for a hook that is a process of its own, nothing where there
// is none.
func (p *Promise) Encode() ([]byte, error) {
	if p == nil {
		return nil, nil
	}
	return json.Marshal(p)
}

// DecodePromise reads what Encode wrote.
func DecodePromise(text []byte) (*Promise, error) {
	p := new(Promise)
	if err := json.Unmarshal(text, p); err != nil {
		return nil, fmt.Errorf("promise: %w", err)
	}
	return p, nil
}
