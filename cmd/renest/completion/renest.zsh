#compdef renest
# zsh completion for renest: source this, or put it into $fpath as _renest.
_renest() {
	local -a args opts
	local cur=${words[CURRENT]}
	args=("${(@)words[2,CURRENT-1]}")
	local -i at=${args[(ie)--]}
	if (( at <= $#args )); then # another program's command line
		shift $(( at + 1 )) words
		(( CURRENT -= at + 1 ))
		_normal
		return
	fi
	[[ $cur == -* ]] && args+=("$cur")
	opts=("${(@f)$(RENEST_COMPLETE=zsh ${words[1]} "${args[@]}" --generate-bash-completion 2>/dev/null)}")
	if [[ -n ${opts[1]} ]]; then
		_describe renest opts
	else
		_files
	fi
}
if [[ $funcstack[1] == _renest ]]; then
	_renest "$@"
else
	compdef _renest renest
fi
