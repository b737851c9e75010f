#!/usr/bin/env bash
# Runs one of the tests that are still scripts, for xtask: prints its lines, then the line of counts.
#
# usage: scripts/lib/remaining.sh scripts/tests/NAME.sh
PLINTH_KEEP_TESTS=yes
. "$(dirname "${BASH_SOURCE[0]}")/all.sh"
. "$root/scripts/lib/testing.sh"
. "$root/scripts/lib/matrix.sh"

setup
qemu_find
# xtask has built the rest.
(cd "$root" && cargo build --quiet -p igvm-tools) || die "the build of igvm-tools failed"
# shellcheck source=/dev/null
. "$1"
summary
