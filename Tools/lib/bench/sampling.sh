# What is measured in rounds, and what becomes of it. Sourced by Tools/bench.

# Not empty when something could not be measured.
failed=

# sample MEASURE PEER VALUE: notes a measurement. MEASURE is a line of the file `measures`.
sample() {
  if [[ $3 =~ ^[0-9.]+(e[+-]?[0-9]+)?$ ]]; then
    printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$scratch/samples"
  else
    failed=yes
    say "no measurement of $1 for $2${3:+: $3}"
  fi
}

# in_rounds COMMAND…: runs a command with each peer's name added, in each round.
in_rounds() {
  local round peer
  for ((round = 0; round < rounds; round++)); do
    for peer in "${peers[@]}"; do "$@" "$peer"; done
  done
}

# each_peer COMMAND…: once for each.
each_peer() {
  local peer
  for peer in "${peers[@]}"; do "$@" "$peer"; done
}

# seconds COMMAND…: how long it takes.
seconds() {
  local start=$EPOCHREALTIME
  "$@" || return
  subtract "$EPOCHREALTIME" "$start"
}

subtract() { awk -v a="$1" -v b="$2" 'BEGIN { print a - b }'; }
divide() { awk -v a="$1" -v b="$2" 'BEGIN { print b == 0 ? "" : a / b }'; }

# Writes the JSON and prints the table.
report() {
  touch "$scratch/samples"
  jq --null-input --rawfile samples "$scratch/samples" --rawfile measures "$root/Tools/lib/bench/measures" \
    --arg commit "$(git -C "$root" describe --always --dirty 2>/dev/null || echo unknown)" \
    --arg date "$(date --utc +%FT%TZ)" --arg kernel "$(uname -r)" \
    --arg processor "$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)" \
    --argjson cores "$(nproc)" --argjson rounds "$rounds" --argjson quick "$([ -n "$quick" ] && echo true || echo false)" \
    --from-file "$root/Tools/lib/bench/results.jq" >"$json" || fail 1 "cannot write $json"
  jq --raw-output --from-file "$root/Tools/lib/bench/table.jq" "$json" | column -t -s $'\t'
  say "every round is in $json"
}

# Puts the results into the README, between two marks there, and makes its picture.
publish() {
  local table
  table=$(results readme-table) && results picture >"$scratch/performance.svg" || fail 1 "nothing is published: see above"
  awk -v table="$table" '
    /^<!-- end of figures -->$/ { inside = 0 }
    !inside
    /^<!-- figures: Tools\/bench --publish -->$/ { inside = 1; print "\n" table "\n" }' \
    "$root/README.md" >"$scratch/README.md"
  cat "$scratch/README.md" >"$root/README.md"
  cat "$scratch/performance.svg" >"$root/Tools/lib/bench/performance.svg"
}

# results PROGRAM: the results through a program of jq.
results() { jq --raw-output -L "$root/Tools/lib/bench" --from-file "$root/Tools/lib/bench/$1.jq" "$json"; }
