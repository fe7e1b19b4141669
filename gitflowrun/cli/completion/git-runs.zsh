#compdef git-runs
#description look at, mark, share and remove runs of flows
# Completion of `git runs` and `git-runs` for zsh. @HEADER@
#
# For this shell, after compinit: source <(git runs completion zsh)
#
# What git says of refs and trees may come from a stranger's repository. It is never evaluated, and only names of plain
# characters are offered.

# What a verb takes: its options, which kind of value follows which of them, and the kinds of its arguments.
__git_runs_verb () {
	options=() values=() arguments=() repeats=
	case $1 in
@TABLE@
	(*) return 1 ;;
	esac
}

__git_runs_git () {
	GIT_NO_LAZY_FETCH=1 git "$@" 2>/dev/null | LC_ALL=C sed '/[^A-Za-z0-9_.\/@%+,=-]/d'
}

__git_runs_refs () {
	local format=$1
	shift
	__git_runs_git for-each-ref --format="%(refname:lstrip=$format)" "$@"
}

# Prints what is offered of a kind. `cur` is what is typed of it.
__git_runs_list () {
	local ref
	case $1 in
	(\=*) print -l -- ${(s:,:)1#=} ;;
	(flows) __git_runs_refs 2 'refs/runs/*/*' | sed 's,/.*,,; /^@/d' | sort -u ;;
	(tags) __git_runs_refs 4 'refs/runs/@tags/*/*/*' | sed 's,/.*,,; /%/d' | sort -u ;;
	(remotes) __git_runs_git remote ;;
	(revisions) __git_runs_refs 2 refs/heads refs/tags refs/remotes ;;
	(names)
		print -l -- @FIELDS@
		for ref in ${(f)"$(__git_runs_refs 0 --sort=-creatordate --count=3 'refs/runs/*/*')"}; do
			__git_runs_git ls-tree --name-only "${ref}:data" | sed '/^metrics\.json$/d; s,\..*,,'
		done | sort -u
		;;
	(runs|parts)
		case $cur in
		(*[^A-Za-z0-9_./@%+,=-]*) ;;
		([0-9]*/*|[^@]*/*/*) [[ $1 = parts ]] && __git_runs_parts ;;
		([0-9]*) __git_runs_refs 3 "refs/runs/*/$cur*" ;;
		(@*/*) ;;
		(*/*) __git_runs_refs 2 "refs/runs/$cur*" ;;
		(*)
			print -r -- @latest
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
	([0-9]*) pattern="refs/runs/*/$run" ;;
	(*) run=$run/${rest%%/*} rest=${rest#*/} pattern="refs/runs/$run" ;;
	esac
	ref=$(__git_runs_refs 0 --count=1 "$pattern")
	[[ -n $ref ]] || return
	case $rest in
	(*/*/*) ;;
	(*/*)
		step=${rest%%/*}
		__git_runs_git ls-tree --name-only "${ref}:steps/$step" | sed "s,^,$run/$step/,; s,\$,/,"
		;;
	(*)
		__git_runs_git ls-tree --name-only "${ref}:steps" | sed "/^_/d; s,^,$run/,; s,\$,/,"
		__git_runs_git ls-tree --name-only "${ref}:data" | sed "/%/d; /^metrics\.json\$/d; s,\\..*,,; s,^,$run/," | sort -u
		;;
	esac
}

_git-runs () {
	local cur=$PREFIX verb=list kind word previous= repeats only= found
	local -a options arguments names verbs
	local -A values
	integer number=0 at=2
	verbs=(
@VERBS@
	)
	if (( CURRENT > 2 )) && [[ $words[2] != -* ]]; then
		verb=$words[2] at=3 only=1
	fi
	__git_runs_verb $verb || return 1
	for word in "${(@)words[at,CURRENT-1]}"; do
		if [[ $previous == -* && -n ${values[$previous]+set} ]]; then
			previous=
			continue
		fi
		previous=$word
		[[ $word == -* ]] || (( ++number ))
	done
	if [[ $previous == -* && -n ${values[$previous]+set} ]]; then
		kind=$values[$previous]
	elif [[ $cur == -* ]]; then
		_describe -o option options
		return
	elif [[ -z $only ]]; then
		_describe command verbs
		return
	else
		(( number >= $#arguments )) && [[ -n $repeats ]] && number=$(( $#arguments - 1 ))
		kind=$arguments[number+1]
	fi
	for word in ${(s:|:)kind}; do
		case $word in
		(files) _files && found=1 ;;
		(verbs) _describe command verbs && found=1 ;;
		(*)
			names=(${(f)"$(__git_runs_list $word)"})
			compadd -S '' -- ${(M)names:#*/} && found=1
			compadd -- ${names:#*/} && found=1
			;;
		esac
	done
	[[ -n $found ]]
}

if [[ $funcstack[1] == _git-runs ]]; then
	_git-runs "$@"
elif (( $+functions[compdef] )); then
	compdef _git-runs git-runs
fi
