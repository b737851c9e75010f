# shellcheck shell=bash
# What xtask.sh begins with: strict mode, where things are, and how to speak to the user.
#
# Progress goes to standard error, so that what a tool is asked to print stays alone on standard output.

set -euo pipefail

# The repository, and the scratch folder of this checkout.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
# Cargo's own default, said aloud: the tools are told where the programs lie.
export CARGO_TARGET_DIR=$target
work=$target/run
mkdir -p "$work"

# say TEXT...: one line of progress.
say() {
    printf 'plinth: %s\n' "$*" >&2
}

# die TEXT...: what is wrong and what to do about it, then the end.
die() {
    printf 'plinth: error: %s\n' "$*" >&2
    exit 1
}

# have COMMAND: whether it is installed.
have() {
    command -v "$1" >/dev/null 2>&1
}

# quietly LOG COMMAND...: the command's output goes to LOG, and to the user only when the command fails.
quietly() {
    local log=$1
    shift
    if ! "$@" >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        return 1
    fi
}
