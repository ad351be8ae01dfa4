# The results as a table, tabs between the columns.

def short:
  if . == null then "-"
  elif . >= 1000 then round | tostring
  elif . >= 100 then (. * 10 | round) / 10 | tostring
  elif . >= 0.01 or . == 0 then (. * 100 | round) / 100 | tostring
  else (. * 10000 | round) / 10000 | tostring
  end;

def verdict: "\(.of) \(.sign) \(.bound) \(if .holds == null then "not measured" elif .holds then "holds" else "misses" end)";

["measure", "unit", "ours", "ext4", "zram", "null", "pinned", "/ext4", "/zram", "/null", "/pinned", "floors"],
(.measures[]
  | [.name, .unit, (.ours, .ext4, .zram, .null, .pinned | .median | short),
     (.ratios | .ext4, .zram, .null, .pinned | short), (.floors | map(verdict) | join(", "))])
| join("\t")
