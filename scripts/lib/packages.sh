# shellcheck shell=bash
# Debian packages without installing them: an apt of the scripts' own, with its own sources, lists and cache under
# $cache/apt. The machine's apt is read (which mirror, which proxy) and never changed. What is downloaded has been
# checked by apt against the archive's signing keys.

apt_dir=$cache/apt
apt_suites=(bookworm bookworm-backports trixie trixie-backports)
apt_security_suites=(bookworm-security trixie-security)
apt_keyring=/usr/share/keyrings/debian-archive-keyring.gpg
# Lists older than this are fetched again.
apt_fresh_days=3

# own_apt TOOL ARGUMENT...: apt-get or apt-cache with the scripts' configuration, one at a time.
own_apt() {
    local tool=$1
    shift
    flock "$apt_dir/lock" "$tool" -c "$apt_dir/apt.conf" "$@"
}

# mirror_uri SUFFIX: the first mirror in the machine's own apt configuration whose address ends so.
mirror_uri() {
    apt-get update --print-uris 2>/dev/null | sed -n "s|^'\(.*/$1\)/dists/.*|\1|p" | head -n 1
}

# apt_configure: writes the sources and the configuration.
apt_configure() {
    have apt-get || die "Debian's kernels are fetched by apt, which this system lacks; give --kernel and --initrd"
    [[ -e $apt_keyring ]] || die "$apt_keyring is missing; install the package debian-archive-keyring"
    local main security
    main=${PLINTH_DEBIAN_MIRROR:-$(mirror_uri debian)}
    [[ -n $main ]] ||
        die "apt's configuration names no Debian mirror; set PLINTH_DEBIAN_MIRROR to the address of one (it ends in /debian)"
    security=$(mirror_uri debian-security)
    mkdir -p "$apt_dir"/{state/lists/partial,archives/partial}
    apt_sources "$main" "${security:-$main-security}" >"$apt_dir/sources.list"
    apt_settings >"$apt_dir/apt.conf"
}

apt_sources() {
    local suite
    for suite in "${apt_suites[@]}"; do
        printf 'deb [arch=amd64 signed-by=%s] %s %s main\n' "$apt_keyring" "$1" "$suite"
    done
    for suite in "${apt_security_suites[@]}"; do
        printf 'deb [arch=amd64 signed-by=%s] %s %s main\n' "$apt_keyring" "$2" "$suite"
    done
}

# The machine's own settings are read before these, so a proxy stays; its hooks are not ours to run.
apt_settings() {
    cat <<CONF
Dir::State "$apt_dir/state";
Dir::State::status "/dev/null";
Dir::Cache "$apt_dir";
Dir::Cache::archives "archives";
Dir::Etc::SourceList "$apt_dir/sources.list";
Dir::Etc::SourceParts "-";
Dir::Etc::Preferences "-";
Dir::Etc::PreferencesParts "-";
APT::Architecture "amd64";
#clear APT::Architectures;
APT::Architectures { "amd64"; };
APT::Sandbox::User "root";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
Acquire::Languages "none";
#clear Acquire::IndexTargets::deb::DEP-11;
#clear Acquire::IndexTargets::deb::CNF;
CONF
}

# apt_refresh: brings the package lists up to date where they are missing or old.
apt_refresh() {
    if [[ -e $apt_dir/updated && -n $(find "$apt_dir/updated" -mtime "-$apt_fresh_days") ]]; then
        return
    fi
    apt_configure
    say "reading Debian's package lists"
    # A suite that fails (no network, no key) is left out by apt; what is missing shows when a package is asked for.
    quietly "$work/apt-lists.log" own_apt apt-get update || say "not every package list could be read; going on with what there is"
    touch "$apt_dir/updated"
}

# fetch_package NAME VERSION: downloads it once and prints the path of the .deb.
fetch_package() {
    # apt writes a colon in a version as %3a.
    local name=$1 version=$2 file
    file=$apt_dir/archives/${name}_${version//:/%3a}_amd64.deb
    if [[ ! -e $file ]]; then
        say "downloading $name $version"
        (cd "$apt_dir/archives" && quietly "$work/apt-download.log" own_apt apt-get -q download "$name=$version") >&2 ||
            die "$name could not be downloaded; apt's words are above"
    fi
    printf '%s\n' "$file"
}

# package_versions NAME: what the suites have, newest first.
package_versions() {
    own_apt apt-cache madison "$1" 2>/dev/null | awk '{print $3}'
}

# package_depends NAME VERSION PATTERN: the first dependency whose name matches, as "NAME VERSION" (VERSION may be empty).
package_depends() {
    own_apt apt-cache show "$1=$2" | sed -n 's/^Depends: //p' | tr ',' '\n' |
        sed -n "s/^ *\($3\) *\((= *\([^)]*\))\)\?.*/\1 \3/p" | head -n 1
}
