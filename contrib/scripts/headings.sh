#!/bin/sh
# The lines that stand in the middle, as headings do. Nothing but what the shell itself can do.
# zvm: ok=0,1 timeout=60
#
# Exit status 1 says that there were none; the directive above makes that a result like any other.
found=1
while IFS= read -r line; do
	case $line in
	"                "[0-9A-Z]*)
		echo "${line#"${line%%[! ]*}"}"
		found=0
		;;
	esac
done
exit $found
