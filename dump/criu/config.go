package criu

import (
	"fmt"
	"slices"
	"strings"
)

// Config turns options of CRIU's command line into the lines of its configuration
// file (criu.conf(5), crtools/config.c), which is how a CRIU that is driven by RPC is
// given them: --tcp-established, --external veth[eth0]:v0, --ghost-limit=1M. Those
// that renest sets itself are refused, and so are short ones.
func Config(args []string) ([]string, error) {
	var lines []string
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		name, ok := strings.CutPrefix(arg, "--")
		if !ok || name == "" {
			return nil, fmt.Errorf("CRIU option %q: give it in its long form, --NAME or --NAME VALUE", arg)
		}
		name, value, hasValue := strings.Cut(name, "=")
		if strings.ContainsAny(name, " \t\n\"'#") {
			return nil, fmt.Errorf("CRIU option %q: no option has such a name", arg)
		}
		if slices.Contains(ours(), name) {
			return nil, fmt.Errorf("CRIU option --%s: renest sets it itself", name)
		}
		if !hasValue && len(args) > 0 && !strings.HasPrefix(args[0], "-") {
			value, hasValue = args[0], true
			args = args[1:]
		}
		line := name
		if hasValue {
			quoted, err := quote(value)
			if err != nil {
				return nil, fmt.Errorf("CRIU option --%s: %w", name, err)
			}
			line += " " + quoted
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// ours are the options that say what is dumped to where, how, and who is told.
func ours() []string {
	return []string{
		"tree", "images-dir", "work-dir", "log-file", "root", "pidfile", "restore-detached", "restore-sibling",
		"action-script", "config", "no-default-config", "daemon", "inherit-fd", "unprivileged", "status-fd", "join-ns",
	}
}

// quote quotes a value for parse_statement of CRIU's config.c: # begins a comment and
// a space a second value, but in quotes.
func quote(value string) (string, error) {
	if strings.ContainsAny(value, "\n\x00\"\\") {
		return "", fmt.Errorf("%q cannot be said in a configuration file", value)
	}
	if strings.ContainsAny(value, " \t#'") || value == "" {
		return `"` + value + `"`, nil
	}
	return value, nil
}
