#!/usr/bin/env python3
"""Fails if a sentence in a comment or in a document has more than 25 words, as CONTRIBUTING.md asks.

A sentence ends with a full stop, a question mark or an exclamation mark. It also ends with its
paragraph: at a blank line, at a list item, or where the comment ends. So a colon ends a sentence
only if a list follows. A code span is one word. Tables, code blocks and diagrams are no sentences.
"""

import ast
import doctest
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 25
# How a comment starts, by the end of the file's name.
MARKERS = {
    (".rs", ".go"): re.compile(r"\s*(//[/!]?)(?!/) ?(.*)"),
    (".sh", ".py", ".toml", ".yaml", ".yml", ".tpl", "Makefile", "/run", ".gitignore"): re.compile(r"\s*(#)(?!!) ?(.*)"),
}
DRAWING = re.compile(r"[─│┌┐└┘├┤┬┴┼▲▼◄►]|-->|\S {2,}\S")
ITEM = re.compile(r"\s*(?:[-*]|\d+\.) ")
ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|cf|vs)\.$")


def comments(lines, marker):
    """The lines with only the text of the comments; a line of code is empty. Another marker is a gap.

    >>> list(comments(["/// One", "x = 1; // no", "  // two"], MARKERS[".rs", ".go"]))
    ['One', '', 'two']
    """
    before = None
    for line in lines:
        found = marker.match(line)
        yield found[2] if found and found[1] == (before or found[1]) else ""
        before = found and found[1]


def docstrings(text):
    """The lines of a Python file with only its docstrings."""
    lines = [""] * (text.count("\n") + 1)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
            start = node.body[0].lineno - 1
            for place, line in enumerate(ast.get_docstring(node).split("\n")):
                lines[start + place] = "" if line.startswith((">>>", "...")) else line
    return lines


def paragraphs(lines):
    """The paragraphs as lists of (number of the line, text), without what is no prose.

    >>> [[text for _, text in p] for p in paragraphs(["A:", "- b", "  c", "", "    code", "| table |", "D"])]
    [['A:'], ['b', 'c'], ['D']]
    >>> list(paragraphs(["```", "code", "```", "a ──► b"]))
    []
    """
    paragraph, fenced = [], False
    for number, line in enumerate([*lines, ""], 1):
        text = line.strip()
        fence = text.startswith("```")
        fenced ^= fence
        code = not paragraph and line.startswith("    ") and not ITEM.match(line)
        skipped = fenced or fence or code or DRAWING.search(text) or text.startswith(("|", "#", "<!--"))
        if paragraph and (skipped or not text or ITEM.match(line)):
            yield paragraph
            paragraph = []
        if text and not skipped:
            paragraph.append((number, ITEM.sub("", line).strip()))
    if paragraph:
        yield paragraph


def sentences(paragraph):
    """The sentences of a paragraph as (number of the line, words).

    >>> [(line, len(words)) for line, words in sentences([(1, "See `a b. c`, e.g. 1.2."), (2, "Why? [Two words](x).")])]
    [(1, 4), (2, 1), (2, 2)]
    >>> [len(words) for _, words in sentences([(1, "a (`b"), (2, "c.`) d → e. F")])]
    [4, 1]
    """
    text = "\n".join(line for _, line in paragraph)
    # Replacements keep the ends of lines, which give the number of the line.
    text = re.sub(r"`[^`]*`", lambda span: "code" + "\n" * span[0].count("\n"), text)
    text = re.sub(r"\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])", r"\1", text)
    number, words, start = paragraph[0][0], [], 0
    for token in re.findall(r"\S+|\n", text):
        if token == "\n":
            number += 1
        elif re.search(r"\w", token):
            start = start if words else number
            words.append(token)
            if re.search(r"[.?!][\"')*_]*$", token) and not ABBREVIATION.search(token):
                yield start, words
                words = []
    if words:
        yield start, words


def prose(path):
    """What a file has of prose, as lists of lines."""
    text = path.read_text()
    if path.suffix == ".md":
        return [text.split("\n")]
    marker = next((marker for ends, marker in MARKERS.items() if str(path).endswith(ends)), None)
    parts = [list(comments(text.split("\n"), marker))] if marker else []
    return parts + ([docstrings(text)] if path.suffix == ".py" else [])


def main():
    if doctest.testmod().failed:
        sys.exit("this lint is broken")
    files = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True).split("\n")
    count = found = 0
    for file in filter(lambda file: file and (ROOT / file).is_file(), files):
        for lines in prose(ROOT / file):
            for number, words in (s for p in paragraphs(lines) for s in sentences(p)):
                count += 1
                if len(words) > LONGEST:
                    print(f"{file}:{number}: {len(words)} words: {' '.join(words[:8])} …", file=sys.stderr)
                    found += 1
    if found or not count:
        sys.exit(f"{found} of {count} sentences have more than {LONGEST} words")


if __name__ == "__main__":
    main()
