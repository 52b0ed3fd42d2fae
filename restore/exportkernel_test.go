//go:build linux && (amd64 || arm64)

package restore

import "github.com/renest/renest/nsfs/agent"

// Claim claims a name, and gives it up again.
func Claim(name string) error {
	c, err := newClaim(name, agent.Family{}, nil)
	if err != nil {
		return err
	}
	return c.release()
}

// Explain is explain, for tests.
func Explain(err error) error { return explain(err) }

// ExplainSetting is explainSetting, for tests.
func ExplainSetting(err error) error { return explainSetting(err) }
