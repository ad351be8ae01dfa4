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

# Where the optimised binaries are, after build_release.
release="$root/.build/release"

# Builds the optimised binaries. They carry the Swift runtime with them, so that they run where no Swift is
# installed: in the guest, or copied to /usr/local.
build_release() {
  say "building the optimised binaries"
  (cd "$root" && swift build --configuration release --static-swift-stdlib "$@" >&2) ||
    fail 1 "the release build failed: see above"
}
