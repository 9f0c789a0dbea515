#!/usr/bin/mawk -f
# What a web server's log (common or combined format) says: requests, bytes, answers by status, and the busiest paths.
match($0, /"[A-Z]+ [^ "]+[^"]*" [0-9][0-9][0-9] [0-9-]+/) {
	split(substr($0, RSTART, RLENGTH), field, /[" ]+/)
	path = field[3]
	sub(/\?.*/, "", path)
	n = split(substr($0, RSTART, RLENGTH), tail, " ")
	bytes += tail[n]
	status[substr(tail[n - 1], 1, 1) "xx"]++
	hits[path]++
	requests++
	if (!seen[$1]++)
		clients++
	next
}
{ strange++ }
END {
	printf "%d requests of %d clients, %.1f KiB; %d other lines\n", requests, clients, bytes / 1024, strange
	for (class = 1; class <= 5; class++)
		if ((class "xx") in status)
			printf "%6d %dxx\n", status[class "xx"], class
	for (shown = 0; shown < 5; shown++) {
		best = ""
		for (path in hits)
			if (best == "" || hits[path] > hits[best] || (hits[path] == hits[best] && path < best))
				best = path
		if (best == "")
			break
		printf "%6d %s\n", hits[best], best
		delete hits[best]
	}
}
