# bash completion for renest: source this, or put it where bash-completion looks.
_renest() {
	local cur cword words
	if declare -F _get_comp_words_by_ref >/dev/null; then
		_get_comp_words_by_ref -n =: cur words cword
	else
		cur=${COMP_WORDS[COMP_CWORD]} cword=$COMP_CWORD words=("${COMP_WORDS[@]}")
	fi
	local args=("${words[@]:1:cword-1}")
	local at
	for at in "${!args[@]}"; do
		if [[ ${args[at]} == -- ]]; then # another program's command line
			declare -F _command_offset >/dev/null && _command_offset $((at + 2))
			return
		fi
	done
	[[ $cur == -* ]] && args+=("$cur")
	local IFS=$'\n'
	COMPREPLY=($(compgen -W "$(RENEST_COMPLETE=bash "${words[0]}" "${args[@]}" --generate-bash-completion 2>/dev/null)" -- "$cur"))
	declare -F __ltrim_colon_completions >/dev/null && __ltrim_colon_completions "$cur"
}
complete -o bashdefault -o default -F _renest renest
