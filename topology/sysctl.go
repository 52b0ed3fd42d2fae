package topology

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strings"
)

// Sysctl is one setting of a namespace: a file of /proc/sys and its content,
// with a space between its words.
type Sysctl struct {
	Name  string // "kernel.msgmax"
	Value string // "8192"
}

// Sysctls are the settings of a namespace that are not what a fresh one of its
// kind begins with, by name, each once. Those of [SysctlNames] are looked at and
// no others.
type Sysctls []Sysctl

// Get returns the value of a setting, and whether it is among s.
func (s Sysctls) Get(name string) (value string, ok bool) {
	i, ok := slices.BinarySearchFunc(s, name, func(x Sysctl, name string) int { return cmp.Compare(x.Name, name) })
	if !ok {
		return "", false
	}
	return s[i].Value, true
}

// Sort puts s into the order that it has to have.
func (s Sysctls) Sort() {
	slices.SortFunc(s, func(a, b Sysctl) int { return cmp.Compare(a.Name, b.Name) })
}

// MarshalJSON returns an object with a field for each setting.
func (s Sysctls) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, x := range s {
		if i > 0 {
			b.WriteByte(',')
		}
		for j, text := range [...]string{x.Name, x.Value} {
			if j > 0 {
				b.WriteByte(':')
			}
			quoted, err := json.Marshal(text)
			if err != nil {
				return nil, err
			}
			b.Write(quoted)
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// SysctlNames returns the settings that are kept of a namespace of type t, by
// name. Every one of them belongs to a single namespace on each kernel that has
// it, so that setting it in a namespace can change no other.
func SysctlNames(t Type) []string {
	switch t {
	case User:
		return userSysctls
	case IPC:
		return ipcSysctls
	case Net:
		return netSysctls
	}
	return nil
}

// SysctlDefault returns what a setting of a fresh namespace is, where that is the
// same on every host; the defaults of net namespaces are not.
func SysctlDefault(name string) (value string, ok bool) {
	value, ok = sysctlDefaults[name]
	return value, ok
}

// SysctlPath returns the file of one of [SysctlNames] below /proc/sys.
func SysctlPath(name string) string { return strings.ReplaceAll(name, ".", "/") }

// SysctlFollowers returns the settings that the kernel changes when name is
// written. So name is written before them, and where name is not the default they
// are kept whatever they are.
func SysctlFollowers(name string) []string { return sysctlFollowers[name] }

// maxSysctl bounds the value of a setting.
const maxSysctl = 128

// settings validates the settings of n, whatever its type.
func (v *validation) settings(n *Namespace) {
	if n.User != nil {
		v.sysctls(n, n.User.Sysctls)
	}
	if n.IPC != nil {
		v.sysctls(n, n.IPC.Sysctls)
	}
	if n.Net != nil {
		v.sysctls(n, n.Net.Sysctls)
	}
}

func (v *validation) sysctls(n *Namespace, s Sysctls) {
	for i, x := range s {
		switch _, known := slices.BinarySearch(SysctlNames(n.Type), x.Name); {
		case !known:
			v.add("%s: has the setting %q, which is none that is kept of a %s namespace", n.Name(), clip(x.Name, 60), n.Type)
		case i > 0 && s[i-1].Name >= x.Name:
			v.add("%s: its settings are not in order at %q", n.Name(), x.Name)
		case !ValidSysctl(x.Value):
			v.add("%s: its setting %s is %q, which is no list of numbers", n.Name(), x.Name, clip(x.Value, 40))
		}
	}
}

// ValidSysctl reports whether s is a list of numbers with a space between, as the
// value of every setting that is kept is. What is written for a stranger cannot be
// anything else.
func ValidSysctl(s string) bool {
	if len(s) == 0 || len(s) > maxSysctl {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case '0' <= c && c <= '9':
		case c == '-' && (i == 0 || s[i-1] == ' ') && i+1 < len(s) && s[i+1] != ' ':
		case c == ' ' && i > 0 && i+1 < len(s) && s[i-1] != ' ':
		default:
			return false
		}
	}
	return true
}

// appendSysctls appends settings as compared by appendNamespace.
func appendSysctls(b []byte, s Sysctls) []byte {
	for _, x := range s {
		b = appendString(append(b, 1), x.Name)
		b = appendString(b, x.Value)
	}
	return append(b, 0)
}
