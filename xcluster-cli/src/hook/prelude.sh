# Defines the functions for a hook, reads the hook and runs the command. Run as `sh -c PRELUDE xcluster COMMAND ARGUMENT…`, with
# __xc_hook (the file) and __xc_verbose in the environment. Names that begin with __xc_ are private to this file.

# Ctrl-C ends the command, even if a called program handles the signal and exits normally.
trap 'exit 130' INT

# Prints a message.
log() {
	printf '%s\n' "$*" >&2
}

# Prints an error and exits.
die() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# Whether a name is a shell function.
__xc_is_function() {
	case $(LC_ALL=C command -V "$1" 2>/dev/null) in
	"$1 is a "*function*) return 0 ;;
	esac
	return 1
}

# Exports the variables that the hook has set: those that differ from their resolved values, and those of single nodes.
__xc_export() {
	# The hook may have changed IFS for its own lists.
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

# Runs a built-in command.
__xc_run() {
	__xc_export
	# Not quoted: it is one arg or empty.
	"$XCLUSTER" $__xc_verbose "$@"
}

# Boots a node and waits until it is ready. The nets are separated by commas or blanks; the default is the plan's.
cmd_xvm() {
	[ "$#" -gt 0 ] || die "cmd_xvm needs the number of a node"
	__xc_node=$1
	shift
	__xc_nets=$(printf '%s,' $* | sed 's/,,*$//')
	__xc_run boot "$__xc_node" ${__xc_nets:+"--nets=$__xc_nets"}
}

# Sets the variables to the values that a start would use now. Some are in the environment already, others are unset.
__xc_lines=$("$XCLUSTER" env --shell) || {
	__xc_code=$?
	# These commands make no cluster and need no variables, so the built-in ones run without the hook.
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

# Commands that the hook does not define are built in.
__xc_own=no
__xc_command=$1
__xc_function=cmd_$(printf %s "$__xc_command" | sed 's/[^A-Za-z0-9]/_/g')
if __xc_is_function "$__xc_function"; then __xc_own=yes; fi
case $__xc_command in
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

# Programs that are called by their path need the exports, too.
__xc_export
if [ "$__xc_own" = yes ]; then
	shift
	"$__xc_function" "$@"
	exit
fi
XCLUSTER_IN_HOOK=end
exec "$XCLUSTER" $__xc_verbose "$@"
