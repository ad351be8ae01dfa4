# The results as a table, tabs between the columns.

def short:
  if . == null then "-"
  elif . >= 1000 then round | tostring
  elif . >= 100 then (. * 10 | round) / 10 | tostring
  elif . >= 0.01 or . == 0 then (. * 100 | round) / 100 | tostring
  else (. * 10000 | round) / 10000 | tostring
  end;

def verdict: if .holds == null then "" else "\(.of) \(.sign) \(.bound)\t\(if .holds then "holds" else "misses" end)" end;

["measure", "unit", "ours", "ext4", "null", "ours/ext4", "ours/null", "floor"],
(.measures[]
  | [.name, .unit, (.ours.median | short), (.ext4.median | short), (.null.median | short),
     (.ratios.ext4 | short), (.ratios.null | short), (.floor | if . == null then "" else verdict end)])
| join("\t")
