# What the scripts under Tools share. Sourced, never run; needs bash.

set -euo pipefail

# The repository's top folder.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# The command's own name, in front of everything it says.
program=${0##*/}

# Says something to the person, apart from the output proper.
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

# Builds the commands (mkfs.varve, …). Optimised ones carry the Swift runtime with them, so that they run where no
# Swift is installed: in the guest, or copied to /usr/local. VARVE_BUILT=1 says that a script further up has done it.
build_binaries() {
  [ "${VARVE_BUILT:-}" != 1 ] || return 0
  local options=()
  [ "$VARVE_CONFIGURATION" != release ] || options=(--static-swift-stdlib --disable-local-rpath)
  say "building ($VARVE_CONFIGURATION)"
  (cd "$root" && swift build --configuration "$VARVE_CONFIGURATION" "${options[@]}" >&2) ||
    fail 1 "the build failed: see above"
  export VARVE_BUILT=1
}
