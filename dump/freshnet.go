package dump

import "github.com/renest/renest/topology"

// FreshNet is what the settings of a new net namespace are on this host. To find out, a
// dump makes one, unless Options.Fresh has it from an earlier one: a tree need not stand
// still for that. The zero value is not known yet.
type FreshNet struct {
	Sysctls map[string]string `json:"sysctls,omitempty"` // by name
}

// known returns the settings, nil where they are not known, or are no settings.
func (f *FreshNet) known() map[string]string {
	if f == nil || len(f.Sysctls) == 0 {
		return nil
	}
	for _, text := range f.Sysctls {
		if !topology.ValidSysctl(text) {
			return nil
		}
	}
	return f.Sysctls
}
