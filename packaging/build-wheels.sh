#!/bin/sh
# build-wheels.sh PYTHON…: into dist/, one wheel for every Python with the stable ABI and one for each that is free-threaded.
# Runs on a runner of GitHub and in the containers of PyPA (manylinux, musllinux), which have Pythons and no Rust.
#
# COMPATIBILITY is the oldest C library that it must run on, as in a wheel's name (manylinux_2_28); PROFILE is cargo's.
set -eu
cd -- "$(dirname -- "$0")/.."
[ $# -gt 0 ] || { echo "usage: $0 PYTHON…" >&2 && exit 2; }

PATH=${CARGO_HOME:-${HOME:-/root}/.cargo}/bin:$PATH
command -v cargo >/dev/null 2>&1 ||
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y -q --profile minimal

# The version that is tested.
maturin=$(grep '^maturin==' tests/requirements.txt)
environment=$(mktemp -d)
trap 'rm -rf "$environment"' EXIT
"$1" -m venv "$environment"
programs=$environment/bin
[ -d "$programs" ] || programs=$environment/Scripts
"$programs/python" -m pip install -q --disable-pip-version-check "$maturin"

interpreters=
for python in "$@"; do interpreters="$interpreters --interpreter $python"; done
# shellcheck disable=SC2086  # one word an interpreter
"$programs/maturin" build --profile "${PROFILE:-release}" --locked --out dist $interpreters \
    ${COMPATIBILITY:+--compatibility "$COMPATIBILITY"}
