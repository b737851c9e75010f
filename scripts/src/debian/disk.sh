# shellcheck shell=sh
# The last steps of scripts/src/debian/disk.rs, under fakeroot: owners and devices are what they should be in
# the file system, whoever runs this.
#
#   disk.sh PACKAGES.tar SETTINGS TREE IMAGE BYTES
set -eu
packages=$1 settings=$2 tree=$3 image=$4 bytes=$5

rm -rf "$tree" "$image"
mkdir "$tree"
chmod 755 "$tree"
# Without a fifth that no such guest reads. As options of dpkg's they would take a minute.
tar --extract --file "$packages" --directory "$tree" --numeric-owner --same-permissions \
    --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*'
# Modes are said here: those of a checkout are its owner's affair.
(cd "$settings" && find . -type f) | while read -r file; do
    mode=644
    case $file in */rc.local | */start | */stop) mode=755 ;; esac
    install -D -m "$mode" -o 0 -g 0 "$settings/$file" "$tree/$file"
done
mkdir -p "$tree/etc/inittab.d"
truncate -s "$bytes" "$image"
# Whole now: a guest that had to finish it would write for its first minutes.
mke2fs -q -F -t ext4 -L debian -E lazy_itable_init=0,lazy_journal_init=0 -d "$tree" "$image"
rm -rf "$tree"
