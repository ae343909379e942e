# shellcheck shell=bash
# Rust and the tools that make a Worker of it. Sourced after steps.sh; the npm packages must be there.
: "${root:?steps.sh comes first}" "${cache:?}"

worker_build_version=0.8.7

# The compiler that rust-toolchain.toml pins, with its wasm target and the sources of std.
provide_rust() {
  have cargo || fail "Rust is missing: install rustup (rustup.rs)"
  have rustup || fail "rustup is missing: the pinned compiler and its wasm target come through it (rustup.rs)"
  have cc || fail "a C compiler is missing: apt install build-essential, or on macOS xcode-select --install"
  rust_is_complete && return
  step "installing the Rust that rust-toolchain.toml names" install_rust
  rust_is_complete || fail "the rustc in PATH is not rustup's $(rust_version): put ~/.cargo/bin first in PATH"
}

rust_is_complete() {
  local sysroot
  export RUSTUP_AUTO_INSTALL=0 # rustup would do it without a word
  rustc --version 2>/dev/null | grep -qF " $(rust_version) " || return 1
  sysroot=$(rustc --print sysroot 2>/dev/null) &&
    [ -x "$sysroot/bin/cargo-clippy" ] && [ -x "$sysroot/bin/rustfmt" ] &&
    [ -d "$sysroot/lib/rustlib/src/rust/library" ] &&
    [ -d "$sysroot/lib/rustlib/wasm32-unknown-unknown/lib" ]
}

install_rust() {
  local version
  version=$(rust_version)
  rustup toolchain install "$version" --profile minimal --component clippy --component rustfmt --component rust-src \
    --target wasm32-unknown-unknown
}

rust_version() { sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml; }

# worker-build, and the tools that it runs. wasm-opt and esbuild stand among the npm packages. wasm-bindgen has to
# be of the very version that Cargo.lock names: worker-build loads a ready one where it reaches GitHub, elsewhere it
# comes by cargo. No network is asked for what is there.
provide_wasm_tools() {
  local tools="$cache/tools" bindgen
  bindgen=$(locked_version wasm-bindgen)
  [ -n "$bindgen" ] || fail "Cargo.lock names no wasm-bindgen"

  if ! is_version "$tools/bin/worker-build" "$worker_build_version"; then
    step "building worker-build $worker_build_version (about 5 minutes, once)" \
      cargo_install "$tools" worker-build "$worker_build_version" --locked
  fi
  export POSTERN_WORKER_BUILD="$tools/bin/worker-build"

  if is_version "$tools/bin/wasm-bindgen" "$bindgen"; then
    export WASM_BINDGEN_BIN="$tools/bin/wasm-bindgen"
  elif ! worker_build_has wasm-bindgen "$bindgen" && ! github_answers; then
    # Without --locked: the lock that the crate is published with names a package that cannot be had.
    step "building wasm-bindgen $bindgen (about 3 minutes, once)" \
      cargo_install "$tools" wasm-bindgen-cli "$bindgen"
    export WASM_BINDGEN_BIN="$tools/bin/wasm-bindgen"
  fi

  # npm's wasm-opt is JavaScript and takes nine seconds where a native one takes one, but it is the same everywhere;
  # a system's own is often too old for the exceptions that an unwinding wasm is made of.
  export WASM_OPT_BIN="$root/node_modules/.bin/wasm-opt"
  # shellcheck disable=SC2016 # node reads these, not the shell
  ESBUILD_BIN=$(node -p 'require.resolve(`@esbuild/${process.platform}-${process.arch}/bin/esbuild`)') ||
    fail "npm brought no esbuild for this machine"
  export ESBUILD_BIN
}

locked_version() {
  awk -v name="$1" '$1 == "name" { found = $3 == "\"" name "\"" } found && $1 == "version" { gsub(/"/, "", $3); print $3; exit }' Cargo.lock
}

is_version() { [ -x "$1" ] && "$1" --version 2>/dev/null | grep -qw -- "$2"; }

# Out of the project's folder, so that the tools are built by its pinned compiler but into no target of its own.
cargo_install() {
  local tools=$1 name=$2 version=$3
  shift 3
  env -u CARGO_TARGET_DIR cargo install "$name@$version" --root "$tools" "$@"
}

# What worker-build loaded for itself in an earlier build.
worker_build_has() {
  local folder
  for folder in "${XDG_CACHE_HOME:-$HOME/.cache}"/worker-build "$HOME"/Library/Caches/worker-build; do
    set -- "$1" "$2" "$folder/$1"-*-"$2"
    [ -d "$3" ] && return
  done
  return 1
}

github_answers() { have curl && curl -sfIL --max-time 5 -o /dev/null https://github.com; }
