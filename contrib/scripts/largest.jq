#!/usr/bin/jq -rf
# The five largest of an array of {name, size}.
sort_by(-.size, .name) | .[:5] | .[] | "\(.size)\t\(.name)"
