#!/usr/bin/env bash
# The project's commands; `./dev.sh help` lists them.
#
# Each does its own set-up on a Debian, Ubuntu or macOS that has nothing but rustup's cargo, and says what it installs.
# Written for bash 3.2, which is what macOS has.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly CARGO_DENY=0.20.2
readonly CARGO_LLVM_COV=0.9.1
readonly MIN_LINE_COVERAGE=80

usage() {
    cat <<'TEXT'
usage: ./dev.sh <command>

  run [all|gateway|user-service|inventory-service|store] [flags]
              builds and runs everything in one process (all), or one part alone as in production;
              store is the embedded DynamoDB on port 8002, for services that run alone on this machine
  watch [all|gateway|user-service|inventory-service|store] [flags]
              the same in a debug build, built and started again whenever a source or conf/ changes
  test [cargo test's arguments]
              all tests, against real servers that the tests start for themselves
  check       formatting, lints, licences and sources of dependencies, documentation
  coverage    line coverage of the tests; fails under 80 %
  dist        the shipped, optimised binaries, under target/dist/
  bench [--quick | <measurement> [flags]]
              the gateway beside an empty Pingora proxy, HAProxy and nginx, into benches/RESULTS.md;
              --quick only prints instructions, system calls and a short comparison, in some minutes;
              bench --help lists the measurements, bench compare --help the flags of one
  help        this text

  PROFILE=dev ./dev.sh run        builds faster and runs slower
  PROFILE=release ./dev.sh bench  measures another build than the shipped one; BINARIES=<directory> one that is there
TEXT
}

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }

fail() {
    printf 'dev.sh: %s\n' "$*" >&2
    exit 1
}

# --- set-up --------------------------------------------------------------------------------------------------------

have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# install WHAT APT_PACKAGE BREW_FORMULA: WHAT is a command that is missing.
install() {
    local what=$1 apt=$2 brew=$3
    if have apt-get; then
        [ "$(id -u)" -eq 0 ] || have sudo || fail "$what is missing, and there is no sudo: as root, run apt-get install $apt"
        say "Installing $what (apt-get install $apt)"
        as_root apt-get update -qq
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$apt" >/dev/null
    elif have brew; then
        say "Installing $what (brew install $brew)"
        brew install --quiet "$brew"
    else
        fail "$what is missing, and there is neither apt-get nor brew to install it: please install $what"
    fi
}

need_toolchain() {
    have cargo || fail "cargo is missing: install it from https://rustup.rs"
    if ! have cc; then
        # Apple's compiler comes with a window that asks, so it can only be pointed at.
        [ "$(uname)" != Darwin ] || fail "a C compiler is missing: run xcode-select --install, then this again"
        install "a C compiler" build-essential -
    fi
    have cmake || install cmake cmake cmake
}

# Debian's package also starts a server on port 6379; the tests start their own on free ports and leave that one alone.
need_redis() { have redis-server || install redis-server redis-server redis; }

# The printed tour is really run.
need_curl() { have curl || install curl curl curl; }

# Said before anything is installed or built.
need_profile() {
    case ${PROFILE:=release} in
        release | dist) built_in=$PROFILE ;;
        dev) built_in=debug ;;
        *) fail "there is no profile '$PROFILE': choose PROFILE=release, dev or dist" ;;
    esac
}

need_component() { # COMMAND COMPONENT
    cargo "$1" --version >/dev/null 2>&1 || { say "Adding $2 (rustup component add $2)" && rustup component add "$2"; }
}

need_cargo_tool() { # COMMAND VERSION
    cargo "$1" --version >/dev/null 2>&1 || {
        say "Installing cargo-$1 $2 (cargo install; some minutes)"
        cargo install --quiet --locked "cargo-$1" --version "$2"
    }
}

# need_fastapi DIRECTORY: a Python environment of its own there, with the pinned packages.
need_fastapi() {
    local wanted=benches/peers/fastapi/requirements.txt
    ! cmp -s "$wanted" "$1/installed.txt" || return 0
    have python3 || install python3 python3 python
    python3 -c 'import ensurepip' 2>/dev/null || install python3-venv python3-venv -
    say "Installing FastAPI and what it needs into $1 (pip)"
    python3 -m venv --clear "$1"
    "$1/bin/python" -m pip install --quiet --requirement "$wanted"
    cp "$wanted" "$1/installed.txt"
}

# llvm-cov reads only what an LLVM of the same major version wrote.
need_llvm_tools() {
    local major tools
    major=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
    if [ -z "${LLVM_COV:-}" ] && ! rustup component add llvm-tools >/dev/null 2>&1; then
        tools=/usr/lib/llvm-$major/bin
        [ -x "$tools/llvm-cov" ] || install "llvm-cov $major" "llvm-$major" "llvm@$major"
        [ -x "$tools/llvm-cov" ] || tools=$(brew --prefix "llvm@$major" 2>/dev/null || true)/bin
        [ -x "$tools/llvm-cov" ] || fail "no llvm-cov $major was found: set LLVM_COV and LLVM_PROFDATA to where it is"
        export LLVM_COV=$tools/llvm-cov LLVM_PROFDATA=$tools/llvm-profdata
    fi
}

# --- commands ------------------------------------------------------------------------------------------------------

package_of() {
    case $1 in
        all | store) echo order-processor ;;
        gateway | user-service | inventory-service) echo "$1" ;;
        *) fail "there is no '$1' to run: choose all, gateway, user-service, inventory-service or store" ;;
    esac
}

# what_to_run ARGS...: sets `package` and leaves the flags in `flags`.
what_to_run() {
    local what=all
    case ${1:-} in
        "" | -*) ;;
        *) what=$1 && shift ;;
    esac
    package=$(package_of "$what")
    [ "$what" != store ] || set -- store "$@"
    flags=("$@")
}

run() {
    what_to_run "$@"
    need_profile
    need_toolchain
    if [ ! -e "${CARGO_TARGET_DIR:-target}/$built_in/$package" ]; then
        local faster=" (PROFILE=dev builds faster and runs slower)"
        [ "$PROFILE" != dev ] || faster=""
        say "The first build takes some minutes$faster"
    fi
    exec cargo run --profile "$PROFILE" --package "$package" -- ${flags[@]+"${flags[@]}"}
}

changed_since() { # FILE
    [ -n "$(find Cargo.toml Cargo.lock common conf gateway services src -type f -newer "$1" -print 2>/dev/null | head -n 1)" ]
}

watch() {
    local stamp pid=""
    what_to_run "$@"
    need_toolchain
    stamp=$(mktemp)
    stop() {
        if [ -n "$pid" ]; then
            kill -TERM "$pid" 2>/dev/null || true
            wait "$pid" 2>/dev/null || true
            pid=""
        fi
    }
    # shellcheck disable=SC2064  # the file's name is known now and gone at the end
    trap "rm -f '$stamp'" EXIT
    trap 'stop; exit 0' INT TERM
    while true; do
        touch "$stamp"
        # What runs is only replaced by something that compiles.
        if cargo build --package "$package"; then
            stop
            cargo run --quiet --package "$package" -- ${flags[@]+"${flags[@]}"} &
            pid=$!
        fi
        until changed_since "$stamp"; do sleep 1; done
        say "A source changed"
    done
}

tests() {
    need_toolchain
    need_redis
    need_curl
    if [ $# -gt 0 ]; then cargo test "$@"; else cargo test --workspace --all-features; fi
}

check() {
    need_toolchain
    need_component fmt rustfmt
    need_component clippy clippy
    need_cargo_tool deny "$CARGO_DENY"

    say "Formatting"
    cargo fmt --all --check
    say "Lints"
    cargo clippy --workspace --all-targets --all-features --quiet -- -D warnings
    say "The gateway never links the AWS SDK"
    if cargo tree --package gateway --edges normal,build --prefix none | grep -E '^aws-(sdk|config|smithy)'; then
        fail "the gateway depends on the AWS SDK: see who brings it with cargo tree -p gateway -i <crate>"
    fi
    say "Licences, bans and sources of dependencies"
    # An unmatched wrapper means that cargo-deny did not see a dependency, and so not its licence either.
    cargo deny --workspace check -D unused-wrapper licenses bans sources
    say "Advisories"
    if cargo deny fetch db 2>/dev/null; then
        cargo deny --workspace check advisories
    else
        echo "skipped: the advisory database (on GitHub) cannot be fetched from here" >&2
    fi
    say "Documentation"
    # Private items are documented too, so a link to one leads somewhere.
    RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --workspace --all-features --no-deps --document-private-items --quiet
    if have shellcheck; then
        say "Shell scripts"
        shellcheck dev.sh .ci/run
    fi
}

coverage() {
    need_toolchain
    need_redis
    need_curl
    need_cargo_tool llvm-cov "$CARGO_LLVM_COV"
    need_llvm_tools
    cargo llvm-cov --workspace --all-features --fail-under-lines "$MIN_LINE_COVERAGE" "$@"
}

dist() {
    need_toolchain
    local package
    # One by one: built together, the gateway would get the services' features and with them the AWS SDK.
    for package in gateway user-service inventory-service order-processor; do
        cargo build --profile dist --package "$package"
        ls -lh "${CARGO_TARGET_DIR:-target}/dist/$package"
    done
}

# Debian's packages also start a server of each; the measurements start their own on free ports.
need_peers() {
    # Where Debian puts servers, which is not on every user's path.
    PATH=$PATH:/usr/sbin
    local tool
    for tool in haproxy nginx wrk valgrind strace openssl; do
        have "$tool" || install "$tool" "$tool" "$tool"
    done
    have h2load || install h2load nghttp2-client nghttp2
    have taskset || install taskset util-linux -
}

bench() {
    case ${1:-} in
        micro | services)
            local part=$1
            shift
            "bench_$part" "$@"
            return
            ;;
    esac
    local target=${CARGO_TARGET_DIR:-target} profile=${PROFILE:-dist} binaries package
    [ "$(uname)" = Linux ] || fail "proxies are compared on Linux only: they are pinned to cores and read from /proc"
    need_toolchain
    need_redis
    need_peers
    [ "$profile" != dev ] || profile=debug
    binaries=${BINARIES:-$target/$profile}
    if [ -z "${BINARIES:-}" ]; then
        say "Building what is measured (profile $profile; the first build takes some minutes)"
        # One by one: built together, features of one would be features of the other.
        for package in gateway empty-pingora; do
            cargo build --profile "${PROFILE:-dist}" --package "$package"
        done
    fi
    cargo build --quiet --release --package bench-harness
    case ${1:-} in
        "") set -- all --write ;;
        --quick) shift && set -- all --quick "$@" ;;
    esac
    "$target/release/bench-harness" --binaries "$binaries" "$@"
}

# The parts that requests pass, each alone; with the name of one, only that.
bench_micro() {
    need_toolchain
    cargo bench --package order-processor --bench micro -- "$@"
    cargo run --quiet --release --package bench-services -- micro --directory "${CARGO_TARGET_DIR:-target}/criterion"
}

# The services beside a FastAPI service that does the same; prints a section of Markdown.
bench_services() {
    local target=${CARGO_TARGET_DIR:-target} profile=${PROFILE:-release} package
    [ "$(uname)" = Linux ] || fail "the services are compared on Linux only: processes are pinned to cores and read from /proc"
    need_toolchain
    have taskset || install taskset util-linux -
    need_fastapi "$target/fastapi"
    for package in user-service inventory-service order-processor bench-services; do
        cargo build --profile "$profile" --package "$package"
    done
    [ "$profile" != dev ] || profile=debug
    "$target/$profile/bench-services" run --binaries "$target/$profile" --python "$target/fastapi/bin/python" "$@"
}

command=${1:-help}
[ $# -eq 0 ] || shift
case $command in
    run) run "$@" ;;
    watch) watch "$@" ;;
    test) tests "$@" ;;
    check) check ;;
    coverage) coverage "$@" ;;
    dist) dist ;;
    bench) bench "$@" ;;
    help | -h | --help) usage ;;
    *) usage >&2 && fail "there is no command '$command'" ;;
esac
