package dump

import "strings"

// unifiedPath finds the path in the cgroup2 hierarchy in the text of
// /proc/PID/cgroup: the line "0::PATH". A cgroup that was removed under its
// tasks is marked, as the kernel keeps its path.
func unifiedPath(b []byte) (string, bool) {
	for line := range strings.Lines(string(b)) {
		if path, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			return strings.TrimSuffix(path, " (deleted)"), true
		}
	}
	return "", false
}

// differInV1 reports whether a task's path looks otherwise from inside a cgroup
// namespace in a hierarchy of version 1: the lines "ID:CONTROLLERS:PATH" of
// /proc/PID/cgroup.
func differInV1(outside, inside []byte) bool {
	lines := map[string]bool{}
	for line := range strings.Lines(string(inside)) {
		lines[line] = true
	}
	for line := range strings.Lines(string(outside)) {
		if !strings.HasPrefix(line, "0::") && !lines[line] {
			return true
		}
	}
	return false
}

// cgroupRoot derives the root of a cgroup namespace from how a task's path looks
// from outside and from inside. A path from inside that climbs out of the root
// does not tell: the names on the way down are not shown.
func cgroupRoot(outside, inside string) (string, bool) {
	switch {
	case strings.HasPrefix(inside, "/.."):
		return "", false
	case inside == "/":
		return outside, true
	}
	root, ok := strings.CutSuffix(outside, inside)
	if root == "" {
		root = "/"
	}
	return root, ok
}
