package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// TestUsage: whatever is called the wrong way exits with 2, says why in one
// line and writes nothing to stdout.
func TestUsage(t *testing.T) {
	t.Chdir(sampleDir(t))
	tests := map[string]struct {
		args string
		says string
	}{
		"no such command":     {"frobnicate", `no command "frobnicate"`},
		"nearly a command":    {"dmup", "(known: list, tree, dump, "},
		"no such global flag": {"--frobnicate", "frobnicate"},
		"no such flag":        {"show --frobnicate nstree.img", "see renest show --help"},
		"flag behind":         {"show nstree.img --frobnicate", "no flag --frobnicate, see renest show --help"},
		"value missing":       {"dump --all -o", "a value is missing behind -o, see renest dump --help"},
		"value wrong":         {"tree --by age", "for --by: "},
		"no help topic":       {"help frobnicate", "frobnicate"},
		"no flag of help":     {"help --frobnicate", "no flag --frobnicate"},
		"not a number":        {"list --outline --limit x", `invalid value "x" for --limit: not a number, see`},
		"not a time":          {"watch --interval x", `invalid value "x" for --interval: not a time, such as 200ms`},

		"show nothing": {"show", "which image"},
		"show two":     {"show nstree.img other.img", `"other.img"`},
		"show live":    {"show live", "renest tree draws what is there"},
		"restore live": {"restore live:4711 -- true", "renest dump makes one"},

		"tree two":    {"tree nstree.img other.img", `"other.img"`},
		"tree by age": {"tree --by age nstree.img", "age"},
		"tree format": {"tree --format png nstree.img", "png"},
		"tree color":  {"tree --color purple nstree.img", "purple"},

		"list an argument":  {"list net", `"net"`},
		"list a type":       {"list --type net,foo", "foo"},
		"list no type":      {"list --type", "type"},
		"list owner":        {"list --owner nobody", "none of net:["},
		"list owner net":    {"list --owner net:[4026531840]", "only user namespaces"},
		"list owner id":     {"list --owner :x", "not a namespace id"},
		"list owner id 0":   {"list --owner :0", "above 0"},
		"list owner of 0":   {"list --owner 0/user", "above 0"},
		"list a page":       {"list --limit 5", "--outline"},
		"list after":        {"list --after 5", "--outline"},
		"list after what":   {"list --outline --after net:[5]", "not a namespace id"},
		"list below 0":      {"list --outline --limit -1", "at least one"},
		"list owner broken": {"list --owner user:[x]", "inode"},

		"caps nothing":     {"caps", "which process"},
		"caps one":         {"caps 1", "which namespace"},
		"caps three":       {"caps 1 2/net 3", `"3"`},
		"caps a word":      {"caps init self/net", "not a process id"},
		"caps pid 0":       {"caps 0 self/net", "above 0"},
		"caps no start":    {"caps 1: self/net", "start time"},
		"caps a word, net": {"caps 1 net", "none of net:["},
		"caps a task":      {"caps 1 1", "1/net is one of them"},
		"caps a link":      {"caps 1 1/foo", `"foo"`},
		"caps broken":      {"caps 1 net:[x]", "inode"},
		"who nothing":      {"who", "which namespace"},
		"who two":          {"who self/net self/uts", `"self/uts"`},
		"who no cap":       {"who self/net --cap CAP_FOO", "CAP_FOO"},
		"who empty cap":    {"who self/net --cap=", "which capability"},
		"why nothing":      {"why", "which namespace"},
		"why two":          {"why self/net self/uts", `"self/uts"`},
		"why an id of 0":   {"why :0", "above 0"},

		"dump nothing":         {"dump", "-t PID is a tree"},
		"dump no pid":          {"dump -t", "-t"},
		"dump a word":          {"dump -t init", "not a process id"},
		"dump pid 0":           {"dump -t 0", "above 0"},
		"dump pid -1":          {"dump -t -1", "above 0"},
		"dump pid 1.5":         {"dump -t 1.5", "not a process id"},
		"dump pid 0x1":         {"dump -t 0x1", "not a process id"},
		"dump pid 2^31":        {"dump -t 2147483648", "no process has such a number"},
		"dump empty pid":       {"dump -t=", "not a process id"},
		"dump both":            {"dump -t 1 --all", "exclude each other"},
		"dump to two":          {"dump --all -D . -o x", "exclude each other"},
		"dump to no file":      {"dump --all -o=", "file name"},
		"dump an argument":     {"dump --all x", `"x"`},
		"dump from nowhere":    {"dump --all --source netlink", "netlink"},
		"dump by command line": {"dump --all -- sh", `"sh"`},

		"diff nothing":     {"diff", "two are needed"},
		"diff one":         {"diff nstree.img", "two are needed"},
		"diff three":       {"diff nstree.img nstree.img nstree.img", "what is"},
		"diff ignore":      {"diff nstree.img nstree.img --ignore pids", "pids"},
		"diff stdin twice": {"diff - -", "standard input"},
		"diff live pid 0":  {"diff live:0 nstree.img", "above 0"},
		"diff live -1":     {"diff live:-1 nstree.img", "above 0"},

		"restore nothing":      {"restore", "which image"},
		"restore two":          {"restore nstree.img other.img", "one image"},
		"restore two ways":     {"restore -D . nstree.img", "one image"},
		"restore both":         {"restore -d nstree.img -- sh", "either -d or a command"},
		"restore a path":       {"restore --name ../x nstree.img -d", `"../x"`},
		"restore, external":    {"restore -d --external net=x nstree.img", "want NS=REF"},
		"restore, external 2":  {"restore -d --external net:[1]=x nstree.img", "none of net:"},
		"restore, external 3":  {"restore -d --external bus:[1]=/x nstree.img", "bus"},
		"restore, external 4":  {"restore -d --external net:[1]=/x --external net:[1]=/y nstree.img", "given twice"},
		"restore, ids":         {"restore -d --id-range 5 nstree.img", "FIRST:COUNT"},
		"restore, pids":        {"restore -d --pids some nstree.img", "free, inner or exact"},
		"restore, pins":        {"restore -d --pins some nstree.img", "image, all or original"},
		"restore, pins 2":      {"restore -d --pins all nstree.img", "to which folder"},
		"restore, pins 3":      {"restore -d --pins original --pin /x nstree.img", "in place of --pin"},
		"restore, pins 4":      {"restore -d --pin= nstree.img", "to which folder"},
		"restore without a --": {"restore nstree.img sh -c true", "-c"},
		"ps an argument":       {"ps x", `"x"`},
		"ps, oci":              {"ps --oci ../x", `".."`},
		"ps, oci of a net":     {"ps --oci x/net:[1]", "pid namespace"},
		"ps, oci as JSON":      {"ps --oci x --json", "exclude each other"},
		"rm nothing":           {"rm", "which tree"},
		"rm a path":            {"rm ../x", `"../x"`},
		"demo an argument":     {"demo x", `"x"`},
		"watch an image":       {"watch nstree.img", "does not change"},
		"watch all the time":   {"watch --interval 0s", "1ms"},
		"watch for less":       {"watch --for -1s", "above 0"},
		"completion of what":   {"completion tcsh", "tcsh"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := renest(t, nil, strings.Fields(tt.args)...)
			if got.Code != 2 {
				t.Errorf("exit %d, want 2", got.Code)
			}
			if got.Stdout != "" {
				t.Errorf("stdout: %q", got.Stdout)
			}
			if !strings.HasPrefix(got.Stderr, "renest: ") || strings.Count(got.Stderr, "\n") != 1 {
				t.Errorf("stderr: %q, want one line of renest's", got.Stderr)
			}
			if !strings.Contains(got.Stderr, tt.says) {
				t.Errorf("stderr: %q does not say %q", got.Stderr, tt.says)
			}
		})
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 5 {
		t.Errorf("files were made: %v", entries)
	}
}

// TestPinNowhere is told to bring pins back in a folder that is not there.
func TestPinNowhere(t *testing.T) {
	t.Chdir(sampleDir(t))
	got := renest(t, nil, "restore", "--pin", filepath.Join(t.TempDir(), "none"), "nstree.img")
	if got.Code != 1 || !strings.Contains(got.Stderr, "mkdir -p it first") {
		t.Errorf("exit %d: %s", got.Code, got.Stderr)
	}
}

// TestExamples: every command shows how it is used, in a line that is one of its
// own; what is shown is read as it should be.
func TestExamples(t *testing.T) {
	var check func(path string, c *cli.Command)
	check = func(path string, c *cli.Command) {
		if len(c.Subcommands) > 0 {
			for _, sub := range c.Subcommands {
				check(path+" "+sub.Name, sub)
			}
			return
		}
		if !c.Hidden && !strings.Contains(c.Description, "renest "+path) {
			t.Errorf("%s has no example", path)
		}
	}
	for _, c := range newApp(streams{}).Commands {
		check(c.Name, c)
	}
}

// TestManual: the page is there and has every command.
func TestManual(t *testing.T) {
	got := renest(t, nil, "man")
	if got.Code != 0 {
		t.Fatal(got)
	}
	text := strings.NewReplacer(`\-`, "-", `\&`, "", `\\`, `\`).Replace(got.Stdout)
	var check func(mark string, list []*cli.Command)
	check = func(mark string, list []*cli.Command) {
		for _, c := range list {
			if c.Hidden {
				continue
			}
			_, page, _ := strings.Cut(text, mark+c.Name)
			wanted := append(strings.Split(c.UsageText, "\n"), strings.Split(c.Description, "\n")...)
			for _, f := range c.VisibleFlags() {
				wanted = append(wanted, dashed(f.Names()[0]))
			}
			for _, w := range wanted {
				if !strings.Contains(page, strings.TrimSpace(w)) {
					t.Errorf("nothing of %s: %q", c.Name, w)
				}
			}
			check("\n.SS ", c.Subcommands)
		}
	}
	check("\n.SH ", newApp(streams{}).Commands)
}

// TestQuiet: what is no error can be kept quiet, or be told in full.
func TestQuiet(t *testing.T) {
	t.Chdir(sampleDir(t))
	args := []string{"tree", "nstree.img", "--format", "dot"}
	if got := renest(t, nil, args...); strings.Count(got.Stderr, "\n") != 1 {
		t.Errorf("stderr: %q", got.Stderr)
	}
	if got := renest(t, nil, append([]string{"--quiet"}, args...)...); got.Stderr != "" || got.Code != 0 {
		t.Errorf("with --quiet: %q", got.Stderr)
	}
	if got := renest(t, nil, append([]string{"--verbose"}, args...)...); got.Stderr != "renest: not seen: pid 9: fds: permission denied\n" {
		t.Errorf("with --verbose: %q", got.Stderr)
	}
}

// TestHelp: what is asked for is no error.
func TestHelp(t *testing.T) {
	own := os.Args
	t.Cleanup(func() { os.Args = own })
	for args, says := range map[string]string{
		"":                                  "COMMANDS:",
		"--help":                            "COMMANDS:",
		"-h":                                "COMMANDS:",
		"help":                              "COMMANDS:",
		"help criu dump":                    "renest criu dump -t PID",
		"show nstree.img --help":            "renest show IMAGE",
		"help criu dump x":                  "renest criu dump -t PID",
		"restore x.img -h -- sh":            "renest restore (-D DIR",
		"help help":                         "renest help [COMMAND]",
		"help dump":                         "--source",
		"dump --help":                       "--source",
		"dump -h":                           "--source",
		"--version":                         "renest version ",
		"-v":                                "renest version ",
		"--generate-bash-completion":        "dump",
		"dump - --generate-bash-completion": "--images-dir",
	} {
		// The library completes what os.Args has, not what it was given.
		os.Args = append([]string{"renest"}, strings.Fields(args)...)
		got := renest(t, nil, strings.Fields(args)...)
		if got.Code != 0 || got.Stderr != "" || !strings.Contains(got.Stdout, says) {
			t.Errorf("renest %s: %+v, want exit 0 and %q", args, got, says)
		}
	}
}
