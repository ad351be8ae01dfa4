# The driver without a filesystem. Sourced by Tools/bench.

measure_driver() {
  local counts layer batch
  counts=$("$root/Tools/lib/bench/instructions" "$binaries/driver-bench") || counts={}
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

# The driver at the emulated controller of another process, each on a processor of its own. The image is full: a hole
# would be read without touching memory.
measure_served() {
  local round depth result socket=$scratch/controller.sock server
  [ "$(nproc)" -ge 2 ] || { say "skipped: server and client need a processor each" && return; }
  head --bytes 1G /dev/urandom >"$scratch/device.img"
  start_server "$scratch/device.img" "$socket" || return 0
  for ((round = 0; round < rounds; round++)); do
    for depth in 1 32; do
      result=$(device=vfio-user://$socket on="taskset --cpu-list 1" drive read random --depth "$depth") || result={}
      sample "served-random-read-$depth" ours "$(jq '.iops // empty' <<<"$result")"
      sample "served-random-read-$depth-p50" ours "$(jq '.latency_us.p50 // empty' <<<"$result")"
    done
  done
  stop_server
  rm -f "$scratch/device.img"
}

# Adaptive polling beside polling always, at a controller in another process, each on a processor of its own: latencies under
# load, and the processor time that waiting for a slow device takes.
measure_polling() {
  local round depth way share result socket=$scratch/controller.sock server latency
  [ "$(nproc)" -ge 2 ] || { say "skipped: server and client need a processor each" && return; }
  head --bytes 256M /dev/urandom >"$scratch/device.img"
  for latency in 0us 20ms; do
    start_server "emulated:$scratch/device.img?latency=$latency" "$socket" || return 0
    for ((round = 0; round < rounds; round++)); do
      if [ "$latency" = 20ms ]; then
        result=$(device=vfio-user://$socket on="taskset --cpu-list 1" drive read random --adaptive) || result={}
        sample polling-idle ours "$(jq '.processor_percent // empty' <<<"$result")"
        continue
      fi
      for depth in 1 8; do
        for way in pure adaptive; do
          result=$(device=vfio-user://$socket on="taskset --cpu-list 1" \
            drive read random --depth "$depth" $([ $way = pure ] || echo --adaptive)) || result={}
          jq '.latency_us' <<<"$result" >"$scratch/$way.json"
          sample "polling-$way-$depth-p50" ours "$(jq '.p50 // empty' "$scratch/$way.json")"
          sample "polling-$way-$depth-p99" ours "$(jq '.p99 // empty' "$scratch/$way.json")"
        done
        for share in p50 p99; do
          sample "polling-ratio-$depth-$share" ours "$(jq --slurp ".[1].$share / .[0].$share" \
            "$scratch/pure.json" "$scratch/adaptive.json" 2>/dev/null || true)"
        done
      done
    done
    stop_server
  done
  rm -f "$scratch/device.img" "$scratch"/{pure,adaptive}.json
}

# start_server DEVICE SOCKET: serves a device from the first processor, and waits until it can be used. The caller has
# `server`, which becomes the process.
start_server() {
  taskset --cpu-list 0 "$binaries/varve" serve "$1" --socket "$2" --spin >"$scratch/served" &
  server=$!
  until grep --quiet ^serving "$scratch/served"; do
    kill -0 "$server" 2>/dev/null || { say "varve serve does not begin" && failed=yes && return 1; }
    sleep 0.05
  done
}

stop_server() {
  kill "$server"
  wait "$server" || true
  rm -f "$scratch/served"
}

# drive RW PATTERN OPTION…: runs `varve bench` on $device, or the scratch image, and prints its JSON.
drive() {
  local rw=$1 pattern=$2
  shift 2
  ${on:-} "$binaries/varve" bench "${device:-$scratch/device.img}" "--$rw" "$pattern" --seconds "$(seconds_each)" \
    --json --destroy "$@"
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
