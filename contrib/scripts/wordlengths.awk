#!/usr/bin/gawk -f
# How long the words of a text are, as bars.
{
	for (i = 1; i <= NF; i++) {
		word = $i
		gsub(/[^[:alpha:]]/, "", word)
		length_of[length(word)]++
	}
}
END {
	for (n = 1; n <= 15; n++)
		if (length_of[n] > most)
			most = length_of[n]
	for (n = 1; n <= 15; n++) {
		bar = sprintf("%*s", most ? 40 * length_of[n] / most : 0, "")
		gsub(/ /, "#", bar)
		printf "%3d %6d %s\n", n, length_of[n], bar
	}
}
