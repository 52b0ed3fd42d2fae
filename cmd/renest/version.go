package main

import "runtime/debug"

// version says from which commit this program was built, as the build
// information has it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(devel)"
	}
	v, revision, modified := info.Main.Version, "", false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value
		case "vcs.modified":
			modified = s.Value == "true"
		}
	}
	if v == "" {
		v = "(devel)"
	}
	if revision != "" {
		v += " " + revision
	}
	if modified {
		v += " (modified)"
	}
	return v
}
