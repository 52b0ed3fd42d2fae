# fish completion for renest: source this, or put it into ~/.config/fish/completions.
function __renest_complete
	set -l args (commandline -opc)
	set -l cur (commandline -ct)
	set -l program $args[1]
	set -e args[1]
	contains -- -- $args; and return # another program's command line
	string match -q -- '-*' $cur; and set -a args $cur
	RENEST_COMPLETE=fish $program $args --generate-bash-completion 2>/dev/null
end
complete -c renest -a '(__renest_complete)'
