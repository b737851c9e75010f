# shellcheck shell=bash
# Every part, for the scripts that a user starts.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
. "$root/scripts/lib/setup.sh"
. "$root/scripts/lib/packages.sh"
. "$root/scripts/lib/guests.sh"
. "$root/scripts/lib/initramfs.sh"
. "$root/scripts/lib/qemu.sh"
. "$root/scripts/lib/build.sh"
. "$root/scripts/lib/boot.sh"
