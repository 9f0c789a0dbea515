# Writes zvm-box(7): the page as it is, and at the line that says so the table of system calls, from the monitor's own.
#     awk -f calls.awk sandbox/monitor/calls.def contrib/man/zvm-box.7
FNR == 1 {
	file++
}

file == 1 && /^CALL\(/ {
	split($0, quoted, "\"")
	split(substr($0, 6), field, ", *")
	kind = field[4]
	key = kind "\t" quoted[2]
	if (!(key in names))
		keys[++count] = key
	else
		names[key] = names[key] ", "
	names[key] = names[key] field[2]
	if (kind == "REFUSED" && !index(errors[key] ", ", field[3] ", "))
		errors[key] = errors[key] (errors[key] == "" ? "" : ", ") field[3]
}

file == 2 && /^\.\\" CALLS / {
	for (i = 1; i <= count; i++) {
		split(keys[i], part, "\t")
		if (part[1] != $3)
			continue
		gsub("-", "\\-", names[keys[i]])
		print ".TP\n" part[2] (errors[keys[i]] == "" ? "" : " (" errors[keys[i]] ")") "\n" names[keys[i]]
	}
	next
}

file == 2
