package main

import "runtime/debug"

// packaged is the version of the package that this program comes in, by the linker.
var packaged string

// version says from which commit this program was built, as far as the build
// information knows.
func version() string {
	if packaged != "" {
		return packaged
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v += " (" + s.Value + ")"
		}
	}
	return v
}
