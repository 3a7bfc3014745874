#!/bin/sh
# other-processor.sh [PROCESSOR]: builds `flow` for another processor (aarch64) and starts it under qemu; prints where it is.
# A release is built and tried on machines of its kind. This is for who changes something and has none: static, against musl,
# with zig as the C compiler and linker, and optimised only where PROFILE=release.
set -eu
cd -- "$(dirname -- "$0")/.."
processor=${1:-aarch64}
target=$processor-unknown-linux-musl
directory=${CARGO_TARGET_DIR:-target}
profile=${PROFILE:-dev}

die() {
    printf 'error: %s\nhint: %s\n' "$1" "$2" >&2
    exit 1
}

command -v rustup >/dev/null || die "rustup is missing, which has Rust's own library for $target" "https://rustup.rs"
qemu=$(command -v "qemu-$processor-static" || command -v "qemu-$processor") ||
    die "qemu-$processor is missing" "apt-get install qemu-user-static"

rustup target list --installed | grep -qx "$target" || rustup target add "$target" >&2
environment=$directory/zig
[ -x "$environment/bin/cargo-zigbuild" ] || {
    python3 -m venv "$environment"
    "$environment/bin/python" -m pip install -q --disable-pip-version-check ziglang==0.17.1 cargo-zigbuild==0.24.1 >&2
}
PATH=$environment/bin:$PATH
# Nobody steps through it.
CARGO_PROFILE_DEV_DEBUG=0 \
    cargo zigbuild --target "$target" --profile "$profile" -p ematix-flow-cli --bin flow --locked >&2

case $profile in dev) built=debug ;; *) built=$profile ;; esac
binary=$directory/$target/$built/flow
"$qemu" "$binary" version -v >&2
printf '%s\n' "$binary"
