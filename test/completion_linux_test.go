package test

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/renest/renest/test/require"
)

// TestCompletion has real shells complete command lines of renest.
func TestCompletion(t *testing.T) {
	shells := map[string]struct {
		pkg    string
		script string // completes the words in its arguments, a suggestion a line
	}{
		"bash": {"bash", `
			source <(renest completion bash)
			COMP_WORDS=(renest "$@") COMP_CWORD=$#
			_renest
			printf '%s\n' "${COMPREPLY[@]}"`},
		"fish": {"fish", `
			renest completion fish | source
			complete -C "renest $argv" | string replace -r '\t.*' ''; true`},
	}
	lines := map[string]struct {
		words   []string
		want    string
		nothing bool
	}{
		"command":     {words: []string{"tr"}, want: "tree"},
		"flag":        {words: []string{"tree", "--fo"}, want: "--format"},
		"value":       {words: []string{"tree", "--by", ""}, want: "parent"},
		"choice":      {words: []string{"restore", "--pids", "i"}, want: "inner"},
		"help":        {words: []string{"help", "wa"}, want: "watch"},
		"capability":  {words: []string{"who", "--cap", "CAP_SYS_A"}, want: "CAP_SYS_ADMIN"},
		"pid":         {words: []string{"dump", "-t", "1"}, want: "1"},
		"namespace":   {words: []string{"why", "user"}, want: "user:["},
		"subcommand":  {words: []string{"completion", "z"}, want: "zsh"},
		"not another": {words: []string{"enter", "x", "--", "tr"}, want: "tree", nothing: true},
	}
	bin := filepath.Dir(program(t, "renest"))
	for shell, s := range shells {
		path := require.Command(t, shell, s.pkg)
		for name, line := range lines {
			t.Run(shell+"/"+name, func(t *testing.T) {
				args := append([]string{"-c", s.script, shell}, line.words...)
				if shell == "fish" {
					args = append([]string{"-c", s.script}, line.words...)
				}
				home := t.TempDir()
				complete := func() bool {
					cmd := exec.CommandContext(t.Context(), path, args...)
					cmd.Env = append(cmd.Environ(), "PATH="+bin+":/usr/bin:/bin", "HOME="+home)
					out, err := cmd.CombinedOutput()
					if err != nil {
						t.Fatalf("%v\n%s", err, out)
					}
					got := slices.ContainsFunc(strings.Fields(string(out)), func(w string) bool { return strings.HasPrefix(w, line.want) })
					if got == line.nothing {
						t.Logf("%q: %s", line.words, out)
					}
					return got != line.nothing
				}
				// What is there on the host is looked for, but for no longer than who
				// types would wait.
				waitFor(t, "it is completed", complete)
			})
		}
	}
}
