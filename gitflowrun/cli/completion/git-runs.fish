# Completion of `git runs` and `git-runs` for fish. @HEADER@
#
# For this shell: git runs completion fish | source
#
# What git says of refs and trees may come from a stranger's repository. It is never evaluated, and only names of plain
# characters are offered.

function __git_runs_git
    GIT_NO_LAZY_FETCH=1 git $argv 2>/dev/null | LC_ALL=C sed '/[^A-Za-z0-9_.\/@%+,=-]/d'
end

function __git_runs_refs
    __git_runs_git for-each-ref --format="%(refname:lstrip=$argv[1])" $argv[2..]
end

# The words after `git-runs` that are whole: the verb, and as many arguments.
function __git_runs_verb
    set -l words (commandline -opc)
    if set -q words[2]; and not string match -q -- '-*' $words[2]
        echo $words[2]
    else
        echo list
    end
end

function __git_runs_is
    contains -- (__git_runs_verb) $argv
end

function __git_runs_needs_verb
    test (count (commandline -opc)) -eq 1
end

# Whether the next argument of a verb is the one of this number: `__git_runs_argument VERB NUMBER [or-later] [VALUED]...`
function __git_runs_argument
    __git_runs_needs_verb; and return 1
    test (__git_runs_verb) = $argv[1]; or return 1
    set -l words (commandline -opc)
    set -l number 0
    set -l previous
    for word in $words[3..]
        if set -q previous[1]; and contains -- $previous $argv[4..]
            set -e previous
            continue
        end
        set previous $word
        string match -q -- '-*' $word; or set number (math $number + 1)
    end
    if set -q previous[1]; and contains -- $previous $argv[4..]
        return 1
    end
    test $number -eq $argv[2]; or begin
        test $argv[3] = or-later; and test $number -gt $argv[2]
    end
end

function __git_runs_flows
    __git_runs_refs 2 'refs/runs/*/*' | string replace -r '/.*' '' | string match -v '@*' | sort -u
end

function __git_runs_tags
    __git_runs_refs 4 'refs/runs/@tags/*/*/*' | string replace -r '/.*' '' | string match -v '*%*' | sort -u
end

function __git_runs_verbs
    printf '%s\n' @VERBS@
end

function __git_runs_remotes
    __git_runs_git remote
end

function __git_runs_revisions
    __git_runs_refs 2 refs/heads refs/tags refs/remotes
end

function __git_runs_names
    printf '%s\n' @FIELDS@
    for ref in (__git_runs_refs 0 --sort=-creatordate --count=3 'refs/runs/*/*')
        __git_runs_git ls-tree --name-only "$ref:data" | string match -v metrics.json | string replace -r '\..*' ''
    end | sort -u
end

function __git_runs_runs
    set -l cur (commandline -ct)
    if string match -qr '[^A-Za-z0-9_./@%+,=-]' -- $cur
        return
    else if string match -qr '^(\d[^/]*|[^@/][^/]*/[^/]*)/' -- $cur
        return
    else if string match -qr '^\d' -- $cur
        __git_runs_refs 3 "refs/runs/*/$cur*"
    else if string match -q '*/*' -- $cur
        __git_runs_refs 2 "refs/runs/$cur*" | string match -v '@*'
    else
        echo @latest
        __git_runs_flows | string replace -r '$' /
        __git_runs_tags
    end
end

# The runs, or the steps, tasks and artifacts below one.
function __git_runs_parts
    set -l cur (commandline -ct)
    set -l found (string match -r '^(\d[^/]*|[^@/][^/]*/[^/]*)/(.*)' -- $cur)
    if not set -q found[3]; or string match -qr '[^A-Za-z0-9_./@%+,=-]' -- $cur
        __git_runs_runs
        return
    end
    set -l run $found[2]
    set -l pattern refs/runs/$run
    string match -q '*/*' -- $run; or set pattern "refs/runs/*/$run"
    set -l ref (__git_runs_refs 0 --count=1 $pattern)
    set -q ref[1]; or return
    set -l pieces (string split / -- $found[3])
    if test (count $pieces) -eq 1
        __git_runs_git ls-tree --name-only "$ref:steps" | string match -v '_*' | string replace -r '(.*)' "$run/\$1/"
        __git_runs_git ls-tree --name-only "$ref:data" | string match -v '*%*' | string match -v metrics.json | string replace -r '\..*' '' | string replace -r '(.*)' "$run/\$1" | sort -u
    else if test (count $pieces) -eq 2
        __git_runs_git ls-tree --name-only "$ref:steps/$pieces[1]" | string replace -r '(.*)' "$run/$pieces[1]/\$1/"
    end
end

complete -c git-runs -f
# What completes `git` forwards to this, but looks for `git git-runs` in fish 3.6.
complete -c git -f -n '__fish_git_using_command runs' -a '(__fish_git_complete_custom_command runs)'
@TABLE@
