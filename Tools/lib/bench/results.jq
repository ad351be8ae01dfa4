# Makes the results: $samples (measure, peer, value: one line each, tabs between) by the lines of $measures.

def lines: split("\n") | map(select(length > 0 and (startswith("#") | not)));

def median:
  sort
  | if length == 0 then null
    elif length % 2 == 1 then .[(length - 1) / 2]
    else (.[length / 2 - 1] + .[length / 2]) / 2
    end;

# The median of the ratios of what was measured one after the other.
def ratio($ours; $other):
  [range([$ours, $other] | map(length) | min) | select($other[.] != 0) | $ours[.] / $other[.]] | median;

def floors($text; $value):
  $text | split(", ") | map(split(" ") as [$of, $sign, $bound]
  | {of: $of, sign: $sign, bound: ($bound | tonumber)}
  | .value = (if .of == "ours" then $value.ours.median else $value.ratios[.of] end)
  | .holds = (if .value == null then null elif .sign == ">=" then .value >= .bound else .value <= .bound end));

($samples | lines | map(split("\t") | {measure: .[0], peer: .[1], value: (.[2] | tonumber)})) as $all
| {
    date: $date, commit: $commit, quick: $quick, rounds: $rounds,
    machine: {processor: $processor, cores: $cores, kernel: $kernel},
    measures: [
      $measures | lines[] | split("|") | map(gsub("^ +| +$"; "")) as [$name, $unit, $floor]
      | ($all | map(select(.measure == $name)) | group_by(.peer)
          | map({key: .[0].peer, value: {median: (map(.value) | median), samples: map(.value)}}) | from_entries) as $peers
      | select($peers | length > 0)
      | {name: $name, unit: $unit} + $peers
      | .ratios = (. as $m | ["ext4", "zram", "null", "pinned"]
          | map(select($m[.] and $m.ours) | {key: ., value: ratio($m.ours.samples; $m[.].samples)}) | from_entries)
      | .floors = floors($floor; .)
    ]
  }
