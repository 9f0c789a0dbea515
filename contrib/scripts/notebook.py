#!/usr/bin/env python3
"""A Markdown file with what its ```python blocks print put below each. All blocks share one interpreter, as the cells of a
notebook do; the value of a last expression is printed, too. An exception is shown where it happens and ends the run with status 1."""
import ast
import contextlib
import io
import re
import sys
import traceback

BLOCK = re.compile(r"^```python[^\n]*\n(.*?)^```[^\n]*\n?", re.M | re.S)


def run(source, names, line):
    """What it prints, and whether it came to its end. Lines in a traceback are the Markdown file's."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            tree = ast.increment_lineno(ast.parse(source), line)
            last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, "notebook", "exec"), names)
            if last:
                result = eval(compile(ast.Expression(last.value), "notebook", "eval"), names)
                if result is not None:
                    print(repr(result))
        except Exception as error:
            at = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "notebook"]
            where = f" in line {at[-1]}" if at else ""
            print(f"{type(error).__name__}{where}: {error}")
            return printed.getvalue(), False
    return printed.getvalue(), True


text = sys.stdin.read()
names, done = {"__name__": "__main__"}, 0
for block in BLOCK.finditer(text):
    sys.stdout.write(text[done:block.end()])
    done = block.end()
    output, well = run(block[1], names, text.count("\n", 0, block.start(1)))
    if output:
        print("\n```output\n" + output.rstrip("\n") + "\n```")
    if not well:
        sys.exit(1)
sys.stdout.write(text[done:])
