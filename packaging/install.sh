#!/bin/sh
# Installs `flow`: downloads the archive of this machine, checks it against the release's SHA256SUMS, and puts the binary, its
# manual pages and completions below a prefix.
#
#     sh install.sh [--version 0.1.0] [--prefix DIRECTORY]
#
# The prefix is ~/.local, for root /usr/local. EMATIX_FLOW_RELEASES is where releases are, for a mirror.
# What is not as it must be ends it before anything is installed.
set -eu

# The release replaces it by its own address.
RELEASES=https://github.com/OWNER/ematix-flow/releases

die() {
    printf 'error: %s\n' "$1" >&2
    shift
    for hint in "$@"; do printf 'hint: %s\n' "$hint" >&2; done
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# The name of the archive for this machine. On Linux one binary is for every C library: it is static.
find_target() {
    system=${EMATIX_FLOW_SYSTEM:-$(uname -s)} processor=${EMATIX_FLOW_PROCESSOR:-$(uname -m)}
    # A shell that is translated says what it is translated to.
    [ "$system-$processor" != Darwin-x86_64 ] || [ "$(sysctl -n sysctl.proc_translated 2>/dev/null)" != 1 ] || processor=arm64
    case $processor in
    x86_64 | amd64) processor=x86_64 ;;
    aarch64 | arm64) processor=aarch64 ;;
    *) die "there is no binary for $processor" "cargo install --locked --path crates/flow-cli builds one from the sources" ;;
    esac
    case $system in
    Linux) target=$processor-unknown-linux-gnu ;;
    Darwin) target=$processor-apple-darwin ;;
    *) die "this script does not install on $system" "on Windows: pip install ematix-flow, or the .zip of the release" ;;
    esac
}

# Only by https, unless the address that was given says otherwise.
download() {
    address=$1 file=$2
    if have curl; then
        set -- --fail --silent --show-error --location --retry 3 --output "$file"
        case $address in https:*) set -- "$@" --proto =https --tlsv1.2 ;; esac
        curl "$@" "$address"
    elif have wget; then
        wget -q -O "$file" "$address"
    else
        die "neither curl nor wget is installed"
    fi || die "$address could not be downloaded" "is there a release with that name? EMATIX_FLOW_RELEASES names a mirror"
}

sha256() {
    if have sha256sum; then
        sha256sum "$1" | cut -d' ' -f1
    elif have shasum; then
        shasum -a 256 "$1" | cut -d' ' -f1
    elif have openssl; then
        openssl dgst -sha256 -r "$1" | cut -d' ' -f1
    else
        die "nothing here computes SHA-256 (sha256sum, shasum or openssl)" "without it the download cannot be checked"
    fi
}

check() {
    expected=$(awk -v name="$2" '$2 == name || $2 == "*" name { print $1 }' "$1/SHA256SUMS")
    [ -n "$expected" ] || die "SHA256SUMS of the release does not name $2"
    actual=$(sha256 "$1/$2")
    [ "$actual" = "$expected" ] ||
        die "$2 is not what was released: its SHA-256 is $actual, and SHA256SUMS says $expected" "nothing was installed"
}

# Renamed into its place: a `flow` that runs keeps its file, and nobody ever sees half of one.
put() {
    mkdir -p "$(dirname "$2")"
    cp "$1" "$2.new"
    chmod "$3" "$2.new"
    mv -f "$2.new" "$2"
}

main() {
    version=latest prefix=
    while [ $# -gt 0 ]; do
        case $1 in
        --version) version=${2:?--version wants one} && shift 2 ;;
        --prefix) prefix=${2:?--prefix wants a directory} && shift 2 ;;
        *) die "unknown argument $1" "sh install.sh [--version 0.1.0] [--prefix DIRECTORY]" ;;
        esac
    done
    releases=${EMATIX_FLOW_RELEASES:-$RELEASES}
    case $releases in *OWNER*) die "this copy of install.sh names no releases" "take the one of a release, or set EMATIX_FLOW_RELEASES" ;; esac
    if [ -z "$prefix" ]; then
        if [ "$(id -u)" = 0 ]; then prefix=/usr/local; else prefix=${HOME:?HOME is not set: say --prefix}/.local; fi
    fi
    case $version in
    latest) from=$releases/latest/download ;;
    *) from=$releases/download/v${version#v} ;;
    esac
    find_target
    name=ematix-flow-$target
    made=$(mktemp -d)
    trap 'rm -rf "$made"' EXIT
    trap 'exit 130' INT TERM HUP

    download "$from/SHA256SUMS" "$made/SHA256SUMS"
    download "$from/$name.tar.gz" "$made/$name.tar.gz"
    check "$made" "$name.tar.gz"
    tar -xzf "$made/$name.tar.gz" -C "$made"
    said=$("$made/$name/bin/flow" --version) || die "the binary for $target does not run on this machine" "nothing was installed"

    (cd "$made/$name" && find bin share -type f) >"$made/files"
    while IFS= read -r file; do
        case $file in bin/*) mode=755 ;; *) mode=644 ;; esac
        put "$made/$name/$file" "$prefix/$file" "$mode"
    done <"$made/files"
    printf '%s: %s/bin/flow\n' "$said" "$prefix"
    case :$PATH: in
    *:"$prefix/bin":*) ;;
    *) printf 'hint: %s/bin is not on PATH\n' "$prefix" >&2 ;;
    esac
}

# Last: what arrives in parts through a pipe does nothing until it is whole.
main "$@"
