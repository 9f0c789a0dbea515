#!/usr/bin/env python3
"""How large a source file is: lines of code, comment and nothing, and its longest functions. C and its like, or Python, by what is in it."""
import ast
import re
import sys


def python_functions(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.end_lineno - node.lineno + 1, node.name


def c_functions(text):
    """A function begins at the first column and ends with a brace there, as most styles have it."""
    name = start = None
    for number, line in enumerate(text.splitlines(), 1):
        head = re.match(r"[A-Za-z_][^;={}]*?(\w+)\s*\(", line)
        if head and not line.rstrip().endswith(";"):
            name, start = head[1], number
        elif line.startswith("}") and name:
            yield number - start + 1, name
            name = None
        elif line.startswith("};"):
            name = None


def is_python(text):
    return not re.search(r"^\s*#\s*include\b", text, re.M) and bool(re.search(r"^(#!.*python|import |from |def |class )", text, re.M))


def without_comments(text, python):
    """Comments gone, lines kept; strings are skipped, so that what looks like a comment in them stays."""
    string = r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'"
    comment = r"#[^\n]*" if python else r"/\*.*?\*/|//[^\n]*"
    return re.sub(f"({string})|(?:{comment})", lambda m: m[1] or "\n" * m[0].count("\n"), text, flags=re.S)


text = sys.stdin.read()
python = is_python(text)
lines = text.splitlines()
blank = sum(not line.strip() for line in lines)
code = sum(bool(line.strip()) for line in without_comments(text, python).splitlines())
try:
    functions = sorted((python_functions if python else c_functions)(text), key=lambda f: (-f[0], f[1]))
except SyntaxError as error:
    sys.exit(f"line {error.lineno}: {error.msg}")
print(f"{len(lines)} lines: {code} code, {len(lines) - blank - code} comment, {blank} blank; {len(functions)} functions")
for length, name in functions[:3]:
    print(f"{length:6} {name}")
