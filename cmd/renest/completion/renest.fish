# fish completion for renest: source this, or put it into ~/.config/fish/completions.
function __renest_complete
	set -l args (commandline -opc)
	set -l cur (commandline -ct)
	set -l program $args[1]
	set -e args[1]
	if set -l at (contains -i -- -- $args) # another program's command line
		set -e args[1..$at]
		complete -C (string join ' ' -- (string escape -- $args) $cur)
		return
	end
	string match -q -- '-*' $cur; and set -a args $cur
	set -l words (RENEST_COMPLETE=fish $program $args --generate-bash-completion 2>/dev/null)
	if set -q words[1]
		printf '%s\n' $words
	else
		__fish_complete_path $cur
	end
end
complete -c renest -f -a '(__renest_complete)'
