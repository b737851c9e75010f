# shellcheck shell=bash
# What every script here begins with: strict mode, where things are, and how to speak to the user.
#
# Progress goes to standard error, so that what a script is asked to print (`--print`) stays alone on standard output.

set -euo pipefail

# The repository, the scratch folder of this checkout, and the cache that all checkouts of one user share.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
# Cargo's own default, said aloud: the recipes are told where the programs lie.
export CARGO_TARGET_DIR=$target
work=$target/run
cache=${XDG_CACHE_HOME:-$HOME/.cache}/plinth
mkdir -p "$work" "$cache"

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
