#!/usr/bin/env bash
# Prints the name of a rustup toolchain that compiles for every target given, for example:
#   rustup run "$(xtask/wasm-toolchain.sh wasm32-unknown-unknown wasm32-wasip2)" cargo build --target wasm32-wasip2
#
# The project's own toolchain serves where it has the targets or rustup can fetch them. Where rustup cannot (a site that
# reaches only Debian's packages and the crate registry), Debian's rustc-web and its std sources are unpacked into a
# private folder, std is built once (about three minutes of one core), and the result is linked as "nest-wasm".
# Safe to run again: it does nothing once a toolchain works.
#
# NEST_WASM_SOURCE=debian takes the second road at once; NEST_RUSTUP_TIMEOUT_S bounds the first (120).
set -euo pipefail

TARGETS=("$@")
[ ${#TARGETS[@]} -gt 0 ] || { echo "usage: $0 TARGET..." >&2; exit 2; }
BUILT=(wasm32-unknown-unknown wasm32-wasip2)
NAME=nest-wasm
DEST=${XDG_CACHE_HOME:-$HOME/.cache}/nest/wasm-toolchain

# works TOOLCHAIN TARGET...: does it compile a program with std for each?
works() {
  local toolchain=$1 target dir
  shift
  dir=$(mktemp -d)
  echo 'fn main() { println!("{:?}", std::env::args().count()) }' >"$dir/a.rs"
  for target in "$@"; do
    if ! rustup run "$toolchain" rustc --target "$target" --crate-type bin -o "$dir/a.wasm" "$dir/a.rs" >/dev/null 2>&1; then
      rm -rf "$dir"
      return 1
    fi
  done
  rm -rf "$dir"
}

# bounded COMMAND...: macOS has no timeout(1), and there rustup does not hang.
bounded() {
  if command -v timeout >/dev/null; then timeout "${NEST_RUSTUP_TIMEOUT_S:-120}" "$@"; else "$@"; fi
}

if [ "${NEST_WASM_SOURCE:-auto}" != debian ]; then
  ACTIVE=$(rustup show active-toolchain | cut -d' ' -f1)
  for toolchain in "$ACTIVE" "$NAME"; do
    if works "$toolchain" "${TARGETS[@]}"; then echo "$toolchain"; exit 0; fi
  done
  echo "rustup target add ${TARGETS[*]}" >&2
  if bounded rustup target add --toolchain "$ACTIVE" "${TARGETS[@]}" >/dev/null 2>&1 && works "$ACTIVE" "${TARGETS[@]}"; then
    echo "$ACTIVE"
    exit 0
  fi
fi

if ! command -v apt-get >/dev/null; then
  echo "rustup cannot add ${TARGETS[*]}, and this is not a Debian system: install the targets by hand" >&2
  exit 1
fi
echo "rustup cannot add ${TARGETS[*]}: building std from Debian's rust-web-src into $DEST" >&2
SUDO=
[ "$(id -u)" = 0 ] || SUDO=sudo
$SUDO apt-get update -qq >&2

# first PATTERN PACKAGE: the dependency of PACKAGE whose name matches, since Debian puts versions into names.
first() { apt-cache depends "$2" | sed -n 's/^ *Depends: //p' | grep -Ex -m1 "$1"; }
STD=$(first 'libstd-rust-web-[0-9.]+' libstd-rust-web-dev)
LLVM=$(first 'libllvm[0-9]+' "$STD")
$SUDO apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$LLVM" >&2

rm -rf "$DEST"
mkdir -p "$DEST"/{debs,unpacked,toolchain/bin,toolchain/lib/rustlib/src}
(cd "$DEST/debs" && apt-get download -qq rustc-web rust-web-src libstd-rust-web-dev "$STD" rust-web-clippy wasi-libc >&2)
for deb in "$DEST"/debs/*.deb; do dpkg -x "$deb" "$DEST/unpacked"; done
rm -rf "$DEST/debs"

U=$DEST/unpacked/usr T=$DEST/toolchain
STABLE=$(rustc --print sysroot) HOST=$(rustc -vV | sed -n 's/^host: //p')
SOURCE=$(echo "$U"/src/rustc-*)
cp -a "$U"/bin/{rustc,rustdoc} "$T/bin/"
cp -a "$U"/bin/{cargo-clippy,clippy-driver} "$T/bin/" 2>/dev/null || true
cp -a "$U"/lib/*-linux-gnu/librustc_driver-*.so "$T/lib/"
cp -a "$U/lib/rustlib/$HOST" "$T/lib/rustlib/"
ln -s "$SOURCE" "$T/lib/rustlib/src/rust"
ln -s "$STABLE/bin/cargo" "$T/bin/cargo"
# rustup's linkers are linked, not copied: rust-lld finds its library beside itself.
mkdir -p "$T/lib/rustlib/$HOST/bin"
for tool in rust-lld rust-objcopy wasm-component-ld gcc-ld; do
  ln -sfn "$STABLE/lib/rustlib/$HOST/bin/$tool" "$T/lib/rustlib/$HOST/bin/$tool"
done

for target in "${BUILT[@]}"; do
  lib=$T/lib/rustlib/$target/lib
  extra=
  mkdir -p "$lib/self-contained"
  if [ "$target" = wasm32-wasip2 ]; then
    # WASI's C library: Debian's serves for p1 calls, and wasm-component-ld adapts them to p2.
    cp "$U"/lib/wasm32-wasi/{libc.a,crt1-command.o,crt1-reactor.o} "$lib/self-contained/"
    extra="-L $lib/self-contained"
  fi
  (cd "$SOURCE/library" &&
    RUSTC=$T/bin/rustc LD_LIBRARY_PATH=$T/lib RUSTC_BOOTSTRAP=1 __CARGO_DEFAULT_LIB_METADATA=stablestd \
    RUSTFLAGS="-Zforce-unstable-if-unmarked -Cembed-bitcode=yes $extra" \
    "$STABLE/bin/cargo" build --locked --release --manifest-path sysroot/Cargo.toml --target "$target" \
      --target-dir "$DEST/std" --config profile.release.debug=0 --features panic-unwind >&2)
  cp "$DEST/std/$target/release/deps"/lib*.rlib "$lib/"
done
rm -rf "$DEST/std"
rustup toolchain link "$NAME" "$T"
works "$NAME" "${TARGETS[@]}" || { echo "the toolchain that was built does not compile for ${TARGETS[*]}" >&2; exit 1; }
echo "$NAME"
