# The driver without a filesystem. Sourced by Tools/bench.

measure_driver() {
  local counts layer batch
  counts=$("$root/Tools/benchmarks/instructions" "$binaries/driver-bench") || counts={}
  for layer in queue block; do
    for batch in 32 1; do
      sample "driver-$layer-batch-$batch" ours "$(jq --raw-output ".$layer.batch_$batch.instructions // empty" <<<"$counts")"
    done
  done
}

measure_device() {
  local round rw depth
  "$binaries/varve" bench --help 2>&1 | grep -q -e --write || { say "skipped: this varve has no bench command" && return; }
  truncate --size 1G "$scratch/device.img"
  for ((round = 0; round < rounds; round++)); do
    for rw in write read; do
      for depth in 1 32 128; do random_device $rw $depth; done
      sequential_device $rw
    done
  done
  rm -f "$scratch/device.img"
}

# drive RW PATTERN OPTION…: runs `varve bench` and prints its JSON.
drive() {
  local rw=$1 pattern=$2
  shift 2
  "$binaries/varve" bench "$scratch/device.img" "--$rw" "$pattern" --seconds "$(seconds_each)" --json --destroy "$@"
}

random_device() {
  local measure=device-random-$1-$2 result
  result=$(drive "$1" random --depth "$2") || result={}
  sample "$measure" ours "$(jq '.iops // empty' <<<"$result")"
  [ "$2" = 1 ] || return 0
  sample "$measure-p50" ours "$(jq '.latency_us.p50 // empty' <<<"$result")"
  sample "$measure-p99" ours "$(jq '.latency_us.p99 // empty' <<<"$result")"
}

sequential_device() {
  local result
  result=$(drive "$1" sequential --depth 8 --block 1048576) || result={}
  sample "device-sequential-$1" ours "$(jq '.bytes_per_second // empty | . / 1e6' <<<"$result")"
}
