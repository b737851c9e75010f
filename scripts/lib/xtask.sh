#!/usr/bin/env bash
# Installs what is missing, builds the project's tools and hands over: scripts/NAME ARGUMENT... is xtask NAME
# ARGUMENT...
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
. "$root/scripts/lib/setup.sh"

setup "${1:-}"
(cd "$root" && cargo build --quiet -p xtask) || die "the build of scripts/ failed"
exec "$target/debug/xtask" "$@"
