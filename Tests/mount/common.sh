# Shared functions of the tests of mounted filesystems. Sourced, not run. Needs the commands on PATH.

source "$(dirname "${BASH_SOURCE[0]}")/../../Tools/lib/common.sh"
source "$root/Tools/lib/filesystem.sh"

if [ "$(id -u)" != 0 ] || [ ! -c /dev/fuse ]; then
  echo "needs root and /dev/fuse"
  exit 77
fi

make_work

# is WHAT WANTED FOUND: fails unless the two strings are the same.
is() { [ "$2" = "$3" ] || fail 1 "$1: '$3' instead of '$2'"; }

# refuses STATUS TEXT COMMAND…: fails unless the command fails with that status and one line that contains the
# text.
refuses() {
  local status=0 wanted=$1 text=$2
  shift 2
  "$@" >"$work/said" 2>&1 </dev/null || status=$?
  [ "$status" -eq "$wanted" ] || { cat "$work/said" && fail 1 "status $status instead of $wanted: $*"; }
  grep -qi -- "$text" "$work/said" || { cat "$work/said" && fail 1 "does not say '$text': $*"; }
  # A further line may say what the command waits for.
  [ "$(grep -vc "waiting for it" "$work/said")" -eq 1 ] || { cat "$work/said" && fail 1 "says more than one line: $*"; }
}
