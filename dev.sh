#!/usr/bin/env bash
# The project's commands; `./dev.sh help` lists them.
#
# Each does its own set-up on a Debian, Ubuntu or macOS that has nothing but rustup's cargo, and says what it installs.
# Written for bash 3.2, which is what macOS has.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly CARGO_DENY=0.20.2
readonly CARGO_LLVM_COV=0.9.1
readonly OHA=1.16.0
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
  fuzz [seconds | <inputs>x] [chunks|config|heads|paths|requests|routes|tokens]
              what reads bytes of strangers, under libFuzzer for so long (60 s each), or with so many inputs, the same at each
              call; what it finds is kept in target/fuzz/
  coverage    line coverage of the tests; fails under 80 %
  dist [gateway|user-service|inventory-service|order-processor|empty-pingora ...]
              the shipped, optimised binaries, under target/dist/; the gateway guided by a profile: built so that it
              counts what it does, trained with the harness' load, and built again; that takes three times as long
  bench [--quick | <measurement> [flags]]
              the gateway beside an empty Pingora proxy, HAProxy and nginx, into benches/RESULTS.md;
              --quick only prints instructions, system calls and a short comparison, in some minutes;
              bench --help lists the measurements, bench compare --help the flags of one
  bench limits [--only border,accuracy,outage,throughput,latency,keys] [--seconds 60] [--write]
              what rate limits let through and cost, beside nginx and HAProxy and with Redis killed
  bench micro | services [flags]
              the parts that requests pass, each alone; the services beside a FastAPI service that does the same, with
              --write into benches/RESULTS.md
  help        this text

  PROFILE=dev ./dev.sh run        builds faster and runs slower
  PGO=0 ./dev.sh dist             builds the gateway without a profile to guide it; PGO=0 ./dev.sh bench measures that
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

# HTTP/2 is tried with clients that are not of this ecosystem.
need_nghttp2() { have h2load || install h2load nghttp2-client nghttp2; }

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

host() { rustc -vV | sed -n 's/^host: //p'; }

llvm_major() { rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p'; }

# Sets LLVM_COV and LLVM_PROFDATA; they read only what an LLVM of the same major version wrote.
find_llvm_tools() {
    local major of_rustc tools
    [ -z "${LLVM_COV:-}" ] || [ -z "${LLVM_PROFDATA:-}" ] || return 0
    major=$(llvm_major)
    of_rustc=$(rustc --print sysroot)/lib/rustlib/$(host)/bin
    [ -x "$of_rustc/llvm-profdata" ] || rustup component add llvm-tools >/dev/null 2>&1 || true
    for tools in "$of_rustc" "/usr/lib/llvm-$major/bin" "$(brew --prefix "llvm@$major" 2>/dev/null || echo /none)/bin"; do
        if [ -x "$tools/llvm-cov" ] && [ -x "$tools/llvm-profdata" ]; then
            export LLVM_COV=$tools/llvm-cov LLVM_PROFDATA=$tools/llvm-profdata
            return 0
        fi
    done
    return 1
}

need_llvm_tools() {
    find_llvm_tools || {
        install "llvm-cov $(llvm_major)" "llvm-$(llvm_major)" "llvm@$(llvm_major)"
        find_llvm_tools || fail "no llvm-cov $(llvm_major) was found: set LLVM_COV and LLVM_PROFDATA to where they are"
    }
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
    need_nghttp2
    need_curl
    # Most tests wait most of their time: for servers, for deadlines, for a failure to be noticed.
    export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((2 * $(getconf _NPROCESSORS_ONLN)))}
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
        shellcheck dev.sh .ci/run fuzz/instrumented
    fi
}

# With libFuzzer's counters in our own crates only, so that all others are those of the tests. That needs neither a nightly
# compiler nor a sanitizer: what could go wrong here is a panic, an overflow or a promise that is not kept.
fuzz() {
    local much=${1:-60} only=${2:-} target=${CARGO_TARGET_DIR:-target} name names corpus bound
    case $much in
        *[!0-9x]* | x* | *x?*) fail "fuzz takes a number of seconds (60) or of inputs (5000x), not '$much'" ;;
    esac
    names=$(sed -n 's/^name = "fuzz-\(.*\)"$/\1/p' fuzz/Cargo.toml | tr '\n' ' ')
    case " $names" in
        *" $only "*) ;;
        *) [ -z "$only" ] || fail "there is no '$only' to fuzz: choose one of $names" ;;
    esac
    need_toolchain
    RUSTC_WORKSPACE_WRAPPER=$PWD/fuzz/instrumented cargo build --package fuzz --features libfuzzer --bins
    for name in $names; do
        [ -z "$only" ] || [ "$only" = "$name" ] || continue
        corpus=$target/fuzz/$name
        case $much in
            *x)
                # From the seeds alone, whatever earlier calls have found.
                say "$name, ${much%x} inputs"
                corpus=$target/fuzz/same/$name
                rm -rf "$corpus"
                bound=(-seed=1 "-runs=${much%x}")
                ;;
            *)
                say "$name, for $much s"
                bound=("-max_total_time=$much")
                ;;
        esac
        mkdir -p "$corpus"
        "$target/debug/fuzz-$name" "${bound[@]}" -timeout=25 -rss_limit_mb=2048 -max_len=16384 \
            -print_final_stats=1 -verbosity=0 -artifact_prefix="$target/fuzz/$name-" "$corpus"
    done
}

coverage() {
    need_toolchain
    need_redis
    need_nghttp2
    need_curl
    need_cargo_tool llvm-cov "$CARGO_LLVM_COV"
    need_llvm_tools
    cargo llvm-cov --workspace --all-features --fail-under-lines "$MIN_LINE_COVERAGE" "$@"
}

# Why no profile can be made here; nothing when one can.
why_unguided() {
    if [ "$(uname)" != Linux ]; then
        echo "the load it is trained with runs on Linux only"
    elif ! have taskset || [ "$(getconf _NPROCESSORS_ONLN)" -lt 2 ]; then
        echo "the load it is trained with needs taskset and two cores"
    elif ! find_llvm_tools && ! (need_llvm_tools >&2); then
        echo "llvm-profdata of rustc's LLVM is missing (rustup component add llvm-tools)"
    fi
}

# build_with FLAG DIRECTORY PACKAGE: with one more flag to rustc, in a target directory of its own.
build_with() {
    local between=$'\037' others=${CARGO_ENCODED_RUSTFLAGS:-}
    [ -n "$others" ] || others=${RUSTFLAGS:+${RUSTFLAGS// /$between}}
    # With --target, what runs while building (build scripts, macros) is built without the flag.
    CARGO_ENCODED_RUSTFLAGS=${others:+$others$between}$1 CARGO_TARGET_DIR=$2 \
        cargo build --profile "$PROFILE" --target "$(host)" --package "$3"
}

# place BINARY DIRECTORY: never through the link by which cargo keeps what it built.
place() {
    mkdir -p "$2" && rm -f "$2/${1##*/}" && cp "$1" "$2/"
}

# guided PACKAGE: into guided/ beside the unguided binaries; false when that was not possible.
guided() {
    local package=$1 pgo=$target/pgo harness=$target/release/bench-harness counting profdata counts
    counting=$pgo/instrumented/$(host)/$built_in
    profdata=$pgo/$package.$built_in.profdata
    counts=$pgo/$package.$built_in.counts
    say "$package, 1 of 3: a build that counts what it does (some 5 to 15 minutes when all is new)"
    # In all the same as what it is for, also in the way of linking: counts are found by the names of functions, and
    # cargo puts a hash of the profile into each.
    build_with -Cprofile-generate "$pgo/instrumented" "$package" || return 1
    cargo build --quiet --release --package bench-harness || return 1
    if [ "$profdata" -nt "$counting/$package" ] && [ "$profdata" -nt "$harness" ]; then
        say "$package, 2 of 3: trained before, and nothing has changed since"
    else
        say "$package, 2 of 3: training (some 2 minutes)"
        rm -rf "$counts" "$profdata" "${pgo:?}/$package"
        mkdir -p "$counts"
        LLVM_PROFILE_FILE=$counts/%p.profraw "$harness" --binaries "$counting" train --peer "$package" || return 1
        "$LLVM_PROFDATA" merge --output "$profdata" "$counts"/*.profraw || return 1
    fi
    say "$package, 3 of 3: the build that the profile guides (as long as the first)"
    build_with "-Cprofile-use=$profdata" "$pgo/$package" "$package" || return 1
    place "$pgo/$package/$(host)/$built_in/$package" "$target/$built_in/guided"
}

# unguided PACKAGE
unguided() {
    say "$1 (some 5 to 15 minutes when all is new)"
    # One by one: built together, features of one would be features of the other, and the gateway would get the AWS SDK.
    cargo build --profile "$PROFILE" --package "$1"
}

# Only what is trained is guided: another binary has other features, for which the profile would say nothing.
dist() {
    local target=${CARGO_TARGET_DIR:-target} why="" package
    PROFILE=${PROFILE:-dist}
    need_profile
    need_toolchain
    mkdir -p "$target"
    # rustc runs in each package's own directory.
    target=$(cd "$target" && pwd)
    [ $# -gt 0 ] || set -- gateway user-service inventory-service order-processor
    # What is not shipped is not worth three times the building.
    if [ "${PGO:-$([ "$PROFILE" != dist ] || echo 1)}" != 1 ]; then
        why="PGO=1 would make one"
    else
        have openssl || install openssl openssl openssl
        need_curl
        why=$(why_unguided)
        [ -n "$why" ] || find_llvm_tools
    fi
    for package in "$@"; do
        rm -f "$target/$built_in/guided/$package"
        case $package in
            gateway)
                if [ -n "$why" ]; then
                    say "The gateway is built without a profile to guide it: $why"
                    unguided gateway
                elif guided gateway; then
                    place "$target/$built_in/guided/gateway" "$target/$built_in"
                else
                    say "The gateway is built without a profile to guide it: making one failed, as said above"
                    unguided gateway
                fi
                ;;
            # What the gateway is compared with, both ways.
            empty-pingora)
                unguided empty-pingora
                [ -n "$why" ] || guided empty-pingora || say "No profile guides empty-pingora: making one failed, as said above"
                ;;
            *) unguided "$package" ;;
        esac
        ls -lh "$target/$built_in/$package"
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
    need_nghttp2
    have oha || {
        say "Installing oha $OHA (cargo install; some minutes)"
        cargo install --quiet --locked oha --version "$OHA"
    }
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
    local target=${CARGO_TARGET_DIR:-target} binaries=${BINARIES:-}
    [ "$(uname)" = Linux ] || fail "proxies are compared on Linux only: they are pinned to cores and read from /proc"
    PROFILE=${PROFILE:-dist}
    need_profile
    need_toolchain
    need_redis
    need_peers
    if [ -z "$binaries" ] && [ "${1:-}" = limits ]; then
        say "Building what is measured (profile $PROFILE)"
        dist gateway
        binaries=$target/$built_in
    elif [ -z "$binaries" ]; then
        say "Building what is measured (profile $PROFILE)"
        dist gateway empty-pingora
        # Both with a profile or both without: else the profile would be taken for the gateway's own doing.
        binaries=$target/$built_in
        if [ -e "$binaries/guided/gateway" ] && [ -e "$binaries/guided/empty-pingora" ]; then
            binaries=$binaries/guided
        else
            [ ! -e "$binaries/guided/gateway" ] || unguided gateway
        fi
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

# The services beside a FastAPI service that does the same; prints a section of Markdown, and puts it in its place with --write.
bench_services() {
    local target=${CARGO_TARGET_DIR:-target} profile=${PROFILE:-release} package
    [ "$(uname)" = Linux ] || fail "the services are compared on Linux only: processes are pinned to cores and read from /proc"
    need_toolchain
    have taskset || install taskset util-linux -
    need_fastapi "$target/fastapi"
    say "Building what is measured (profile $profile)"
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
    fuzz) fuzz "$@" ;;
    coverage) coverage "$@" ;;
    dist) dist "$@" ;;
    bench) bench "$@" ;;
    help | -h | --help) usage ;;
    *) usage >&2 && fail "there is no command '$command'" ;;
esac
