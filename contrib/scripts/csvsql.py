#!/usr/bin/env python3
"""A query over a CSV file, whose first line names the columns of the table t. Argument: the query; spaces in it are %20 in a spec."""
import csv
import sqlite3
import sys


def value(text):
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text or None


if len(sys.argv) != 2:
    sys.exit("name one query, as csvsql.py 'SELECT * FROM t'")
rows = list(csv.reader(sys.stdin))
if not rows:
    sys.exit("there is no first line")
database = sqlite3.connect(":memory:")
columns = ", ".join('"' + name.replace('"', '""') + '"' for name in rows[0])
database.execute(f"CREATE TABLE t ({columns})")
width = len(rows[0])
database.executemany(f"INSERT INTO t VALUES ({', '.join('?' * width)})",
                     ([value(cell) for cell in row[:width]] + [None] * (width - len(row)) for row in rows[1:] if row))
try:
    answer = database.execute(sys.argv[1])
except sqlite3.Error as error:
    sys.exit(str(error))
writer = csv.writer(sys.stdout, lineterminator="\n")
writer.writerow(name for name, *_ in answer.description or ())
writer.writerows(answer)
