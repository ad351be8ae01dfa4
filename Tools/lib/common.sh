# What the scripts under Tools share. Sourced, never run; needs bash.

set -euo pipefail

# The repository's top folder.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# The command's own name, in front of everything it says.
program=${0##*/}

# Prints a message to the standard error output.
say() { printf '%s: %s\n' "$program" "$*" >&2; }

# fail STATUS MESSAGE: gives up with a reason.
fail() {
  local status=$1
  shift
  say "$*"
  exit "$status"
}

# Prints the header comment of the running script as its help.
usage() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0"; }

# choose_configuration NAME: which binaries the scripts use, `release` (the default) or `debug`. They are in $binaries
# once build_binaries has run. VARVE_CONFIGURATION hands the choice on to scripts further down.
choose_configuration() {
  export VARVE_CONFIGURATION=$1
  binaries="$root/.build/$1"
}
choose_configuration "${VARVE_CONFIGURATION:-release}"

# The names by which the program `varve` is another command.
other_names=(mkfs.varve fsck.varve mount.varve)

# build_binaries [PRODUCT]…: builds the named programs, or all. Optimised ones carry the Swift runtime with them, so that
# they run where no Swift is installed: in the guest, or copied to /usr/local. VARVE_BUILT names the configuration of which a
# script further up has built all.
build_binaries() {
  [ "${VARVE_BUILT:-}" != "$VARVE_CONFIGURATION" ] || return 0
  say "building ($VARVE_CONFIGURATION)"
  local product name
  if [ $# -eq 0 ]; then
    build && export VARVE_BUILT=$VARVE_CONFIGURATION
  else
    for product; do build --product "$product"; done
  fi
  for name in "${other_names[@]}"; do ln -sf varve "$binaries/$name"; done
}

# build OPTION…: calls the compiler. The linker complains of a function in Swift's own library that nothing here calls; that
# would be all that one sees at each program.
build() {
  local options=()
  [ "$VARVE_CONFIGURATION" != release ] || options=(--static-swift-stdlib --disable-local-rpath)
  swift build --package-path "$root" --configuration "$VARVE_CONFIGURATION" "${options[@]}" "$@" |
    { grep --line-buffered -v "libFoundationEssentials.*warning: the use of .mktemp' is dangerous" || true; } >&2 ||
    fail 1 "the build failed: see above"
}
