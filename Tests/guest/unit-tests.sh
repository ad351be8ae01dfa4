# Unit tests that need a controller, run in the guest. Sourced by tests under Tests/guest.

source "$(dirname "${BASH_SOURCE[0]}")/../../Tools/lib/common.sh"

swift build --package-path "$root" --build-tests >&2
bundle="$root/.build/debug/varvePackageTests.xctest"

# guest_test NAME FILTER OPTION…: runs, in a guest with OPTIONs, those unit tests of FILTER that are enabled
# by NAME, and those that only need a controller. Fails where no test was run.
guest_test() {
  local name=$1 filter=$2
  shift 2
  "$root/Tools/guest" --no-binaries --bring "$bundle" "$@" -- sh -c "
    export NO_COLOR=1 VARVE_GUEST_TEST=$name
    modprobe nvme
    [ $name != hugepages ] || echo 40 >/proc/sys/vm/nr_hugepages
    set -o pipefail
    varvePackageTests.xctest --testing-library swift-testing --filter '$filter' 2>&1 | tee /tmp/report || exit 1
    grep '^✔ Test ' /tmp/report | grep -qv '^✔ Test run'"
}
