# Completion of `git runs` and `git-runs` for bash. @HEADER@
#
# For this shell: source <(git runs completion bash)
#
# What git says of refs and trees may come from a stranger's repository. It is never evaluated, and only names of plain
# characters are offered, for what is offered ends up on a command line.

# What a verb takes: its options, which kind of value follows which of them, and the kinds of its arguments.
__git_runs_verb () {
	options= values= arguments= repeats=
	case $1 in
@TABLE@
	*) return 1 ;;
	esac
}

__git_runs_verbs='@VERBS@'
__git_runs_fields='@FIELDS@'

__git_runs_git () {
	if [[ -n ${__git_runs_inside-} ]] && declare -F __git >/dev/null; then
		GIT_NO_LAZY_FETCH=1 __git "$@" 2>/dev/null
	else
		GIT_NO_LAZY_FETCH=1 git "$@" 2>/dev/null
	fi | LC_ALL=C sed '/[^A-Za-z0-9_.\/@%+,=-]/d'
}

__git_runs_refs () {
	local format=$1
	shift
	__git_runs_git for-each-ref --format="%(refname:lstrip=$format)" "$@"
}

# Prints what is offered of a kind. `cur` is what is typed of it.
__git_runs_list () {
	local ref IFS=$' \t\n'
	case $1 in
	=*) printf '%s\n' "${1#=}" | tr , '\n' ;;
	verbs) printf '%s\n' $__git_runs_verbs ;;
	flows) __git_runs_refs 2 'refs/runs/*/*' | sed 's,/.*,,; /^@/d' | sort -u ;;
	tags) __git_runs_refs 4 'refs/runs/@tags/*/*/*' | sed 's,/.*,,; /%/d' | sort -u ;;
	remotes) __git_runs_git remote ;;
	revisions) __git_runs_refs 2 refs/heads refs/tags refs/remotes ;;
	names)
		printf '%s\n' $__git_runs_fields
		for ref in $(__git_runs_refs 0 --sort=-creatordate --count=3 'refs/runs/*/*'); do
			__git_runs_git ls-tree --name-only "${ref}:data" | sed '/^metrics\.json$/d; s,\..*,,'
		done | sort -u
		;;
	runs | parts)
		case $cur in
		*[!A-Za-z0-9_./@%+,=-]*) ;;
		[0-9]*/* | [!@]*/*/*) [[ $1 = parts ]] && __git_runs_parts ;;
		[0-9]*) __git_runs_refs 3 "refs/runs/*/$cur*" ;;
		@*/*) ;;
		*/*) __git_runs_refs 2 "refs/runs/$cur*" ;;
		*)
			echo @latest
			__git_runs_list flows | sed 's,$,/,'
			__git_runs_list tags
			;;
		esac
		;;
	esac
}

# The steps, tasks and artifacts below a run.
__git_runs_parts () {
	local run=${cur%%/*} rest=${cur#*/} pattern step ref
	case $run in
	[0-9]*) pattern="refs/runs/*/$run" ;;
	*) run=$run/${rest%%/*} rest=${rest#*/} pattern="refs/runs/$run" ;;
	esac
	ref=$(__git_runs_refs 0 --count=1 "$pattern")
	[[ -n $ref ]] || return
	case $rest in
	*/*/*) ;;
	*/*)
		step=${rest%%/*}
		__git_runs_git ls-tree --name-only "${ref}:steps/$step" | sed "s,^,$run/$step/,; s,\$,/,"
		;;
	*)
		__git_runs_git ls-tree --name-only "${ref}:steps" | sed "/^_/d; s,^,$run/,; s,\$,/,"
		__git_runs_git ls-tree --name-only "${ref}:data" | sed "/%/d; /^metrics\.json\$/d; s,\\..*,,; s,^,$run/," | sort -u
		;;
	esac
}

# Completes the last of the words after `runs`: "$@", without it.
__git_runs_complete () {
	local cur line=${COMP_LINE:0:COMP_POINT} word kind name cut options values arguments repeats
	local verb=list previous= number=0 only=
	cur=${line##*[[:space:]]}
	[[ $# -gt 0 && $1 != -* ]] && verb=$1 && shift && only=1
	__git_runs_verb "$verb" || return 0
	for word; do
		if [[ $previous == -* && " $values " == *" $previous:"* ]]; then
			previous=
			continue
		fi
		previous=$word
		[[ $word == -* ]] || ((number++))
	done
	if [[ $previous == -* && " $values " == *" $previous:"* ]]; then
		kind=${values#*"$previous:"}
		kind=${kind%% *}
	elif [[ $cur == -* ]]; then
		kind="=${options// /,}"
	elif [[ -z $only ]]; then
		kind=verbs
	else
		set -- $arguments
		[[ $number -ge $# && -n $repeats ]] && number=$(($# - 1))
		kind=${@:number+1:1}
	fi
	# readline replaces the word from its last break on, which is a part of it where it is an `@`.
	cut=${cur%"${cur##*[$COMP_WORDBREAKS]}"}
	cut=${cut%@}
	while IFS= read -r name; do
		[[ $name == "$cur"* ]] || continue
		[[ $name == */ ]] || name+=' '
		COMPREPLY+=("${name#"$cut"}")
	done < <(
		IFS='|'
		for word in $kind; do __git_runs_list "$word"; done
	)
}

# Called by git's own completion, which has taken apart the words.
_git_runs () {
	local __git_runs_inside=1 at
	for ((at = ${__git_cmd_idx:-1}; at < cword; at++)); do
		[[ ${words[at]} == runs ]] && break
	done
	__git_runs_complete "${words[@]:at+1:cword-at-1}"
}

__git_runs_program () {
	local line=${COMP_LINE:0:COMP_POINT} words
	line=${line%"${line##*[[:space:]]}"}
	IFS=$' \t' read -r -a words <<<"$line"
	COMPREPLY=()
	__git_runs_complete "${words[@]:1}"
}

complete -o bashdefault -o default -o nospace -F __git_runs_program git-runs
