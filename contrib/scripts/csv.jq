#!/usr/bin/jq -rf
# An array of objects as CSV. The columns are all keys that any of them has; what is no plain value is written as JSON.
(map(keys_unsorted) | add // [] | reduce .[] as $key ([]; if index([$key]) then . else . + [$key] end)) as $columns
| $columns, (.[] | [.[$columns[]] | if type == "array" or type == "object" then tojson else . end])
| @csv
