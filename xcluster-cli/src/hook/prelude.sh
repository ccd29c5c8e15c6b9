# What a hook finds when it is read, and what is done with it. Run as `sh -c PRELUDE xcluster COMMAND ARGUMENT…`, with
# __xc_hook (the file) and __xc_verbose in the environment. Names that begin with __xc_ are this file's own.

# Ctrl-C ends the command, also where what was called has heard it and ended in order.
trap 'exit 130' INT

# For people.
log() {
	printf '%s\n' "$*" >&2
}

# The end, with a reason.
die() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# Whether a name is a function of the shell.
__xc_is_function() {
	case $(LC_ALL=C command -V "$1" 2>/dev/null) in
	"$1 is a "*function*) return 0 ;;
	esac
	return 1
}

# Variables that the hook has set count for the program, exported or not: those that are not as they were resolved, and those
# of single nodes.
__xc_export() {
	# The hook may have another one, for lists of its own.
	__xc_ifs=${IFS-unset}
	unset IFS
	for __xc_name in $__xc_names; do
		eval "[ \"\${$__xc_name-}\" = \"\${__xc_was_$__xc_name-}\" ]" || export "$__xc_name"
	done
	for __xc_name in $(set | sed -nE 's/^(__(nets|mem|smp|append)[0-9]+)=.*/\1/p'); do
		export "$__xc_name"
	done
	[ "$__xc_ifs" = unset ] || IFS=$__xc_ifs
}

# The program itself, without the hook.
__xc_run() {
	__xc_export
	# Not quoted: it is one word or none.
	"$XCLUSTER" $__xc_verbose "$@"
}

# A node, on nets that are separated by commas or blanks; without any as it is planned. It is ready afterwards.
cmd_xvm() {
	[ "$#" -gt 0 ] || die "cmd_xvm lacks the number of a node"
	__xc_node=$1
	shift
	__xc_nets=$(printf '%s,' $* | sed 's/,,*$//')
	__xc_run boot "$__xc_node" ${__xc_nets:+"--nets=$__xc_nets"}
}

# The variables as a start would resolve them now: they are here already, but may be unset.
__xc_lines=$("$XCLUSTER" env --shell) || {
	__xc_code=$?
	# What makes no cluster takes none of them; ours is better then than none.
	case $1 in
	status | stop | exec | console)
		log "the hook is not read: $__xc_hook"
		XCLUSTER_IN_HOOK=end
		exec "$XCLUSTER" $__xc_verbose "$@"
		;;
	esac
	exit "$__xc_code"
}
eval "$__xc_lines"
for __xc_name in $__xc_names; do
	eval "__xc_was_$__xc_name=\${$__xc_name}"
done

. "$__xc_hook"

# What the hook does not define is the program's own.
__xc_own=no
__xc_word=$1
__xc_function=cmd_$(printf %s "$__xc_word" | sed 's/[^A-Za-z0-9]/_/g')
if __xc_is_function "$__xc_function"; then __xc_own=yes; fi
case $__xc_word in
xvm | svm) __xc_own=yes ;;
esac
__xc_is_function cmd_svm || cmd_svm() { cmd_xvm "$@"; }
__xc_is_function cmd_start || cmd_start() { __xc_run start "$@"; }
__xc_is_function cmd_stop || cmd_stop() { __xc_run stop "$@"; }
__xc_is_function cmd_status || cmd_status() { __xc_run status "$@"; }
__xc_is_function cmd_env || cmd_env() { __xc_run env "$@"; }

if __xc_is_function prepare; then
	prepare || exit
fi

# What is called by its path counts on it, too.
__xc_export
if [ "$__xc_own" = yes ]; then
	shift
	"$__xc_function" "$@"
	exit
fi
XCLUSTER_IN_HOOK=end
exec "$XCLUSTER" $__xc_verbose "$@"
