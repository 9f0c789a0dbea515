#!/usr/bin/python3
# Twenty lines as people write them: some imports, some text, a little arithmetic.
import collections
import json
import re
import sys

text = sys.stdin.read()
words = re.findall(r"[a-z]+", text.lower())
counts = collections.Counter(words)
lines = text.splitlines()
report = {
    "lines": len(lines),
    "words": len(words),
    "longest": max(words, key=len, default=""),
    "mean": round(sum(map(len, words)) / max(1, len(words)), 3),
    "top": counts.most_common(5),
}
json.dump(report, sys.stdout, indent=1, sort_keys=True)
print()
