#!/usr/bin/env python3
"""The words of a text and how often each is in it. Arguments: how many to show (10), how short a word may be (1)."""
import collections
import re
import sys

shown = int(sys.argv[1]) if len(sys.argv) > 1 else 10
shortest = int(sys.argv[2]) if len(sys.argv) > 2 else 1
words = re.findall(r"[a-z]+(?:'[a-z]+)?", sys.stdin.read().lower())
counts = collections.Counter(word for word in words if len(word) >= shortest)
print(f"{len(words)} words, {len(counts)} different ones")
for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:shown]:
    print(f"{count:6} {word}")
