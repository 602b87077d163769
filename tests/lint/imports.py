#!/usr/bin/env python3
"""Fails if source files of one crate import each other in a circle. Also fails if a part of the
speaker's core imports a part above it. speaker/core/src/lib.rs has a diagram of their order.

A file imports another when it names an item of it: in a `use`, or by a path that starts with
`crate::` or `super::`. An item that a module only re-exports counts for the file that defines it, so
a module may re-export the types of its children. Files of unit tests are exempt.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CRATES = ["crds", "runtime", "controller/core", "controller", "speaker/core", "speaker"]
# The parts of the speaker's core, from the lowest.
PARTS = ["node", "lan", "liveness", "ownership", "sync", "speaker"]
# Tests and their fixtures use the whole crate.
EXEMPT = re.compile(r"(^|/)(tests|test_support|testing)(/|\.rs$)")


def code_of(path):
    """The text of a file without comments and without an inline module of tests."""
    text = re.sub(r"//[^\n]*", "", path.read_text())
    return text.split("#[cfg(test)]\nmod tests {")[0]


def split_braces(text):
    """`a::{b, c::d}` as `a::b` and `a::c::d`."""
    text = re.sub(r"\s+", " ", text).strip()
    start = text.find("{")
    if start < 0:
        return [text]
    prefix, depth, part, paths = text[:start], 0, "", []
    for character in text[start + 1 : text.rindex("}")] + ",":
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            paths += [prefix + path for path in split_braces(part)] if part.strip() else []
            part = ""
        else:
            part += character
    return paths


class Crate:
    """The modules of a crate, by their path as a tuple of names."""

    def __init__(self, source):
        files = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard", source], cwd=ROOT, text=True).split()
        self.files = {}
        for file in files:
            inside = file[len(source) + 1 :]
            if file.endswith(".rs") and not EXEMPT.search(inside) and (ROOT / file).exists():
                names = tuple(inside[:-3].split("/"))
                self.files[() if names in [("lib",), ("main",)] else names] = file
        self.code = {module: code_of(ROOT / file) for module, file in self.files.items()}
        self.exports = {}
        for module, text in self.code.items():
            for use in re.findall(r"^\s*pub(?:\([^)]*\))? use ([^;]+);", text, re.M):
                for path in split_braces(use):
                    target = self.resolve(module, path)
                    if target and target[1]:
                        self.exports[module, target[1]] = target

    def resolve(self, module, path):
        """The module and the item that a path names; None outside of the crate."""
        names = [name.strip() for name in re.sub(r" as .*", "", path).split("::")]
        if names[0] == "crate":
            here, names = (), names[1:]
        elif names[0] == "self":
            here, names = module, names[1:]
        elif names[0] == "super":
            here = module
            while names and names[0] == "super":
                here, names = here[:-1], names[1:]
        elif (*module, names[0]) in self.files:
            here = module
        else:
            return None
        while names and (*here, names[0]) in self.files:
            here, names = (*here, names[0]), names[1:]
        return here, names[0] if names else None

    def imports(self, module):
        """The modules whose items a module names."""
        text = self.code[module]
        paths = [path for use in re.findall(r"^\s*use ([^;]+);", text, re.M) for path in split_braces(use)]
        rest = re.sub(r"^\s*(?:pub(?:\([^)]*\))? )?use [^;]+;|\bpub\(in [^)]*\)", "", text, flags=re.M)
        paths += re.findall(r"\b(?:crate|super)(?:::\w+)+", rest)
        found = set()
        for path in paths:
            target = self.resolve(module, path)
            for _ in range(5):
                target = self.exports.get(target, target)
            if target and target[0] != module and target[0] in self.files:
                found.add(target[0])
        return found


def circle(graph):
    """One circle of the graph as a list of modules, or an empty list."""
    done = set()

    def search(module, trail):
        if module in trail:
            return trail[trail.index(module) :] + [module]
        if module in done:
            return []
        for following in sorted(graph[module]):
            if found := search(following, [*trail, module]):
                return found
        done.add(module)
        return []

    for module in sorted(graph):
        if found := search(module, []):
            return found
    return []


def upward(graph):
    """The imports of a part from a part above it, as pairs of modules."""
    rank = {part: place for place, part in enumerate(PARTS)}
    pairs = [(module, target) for module in sorted(graph) for target in sorted(graph[module])]
    return [pair for pair in pairs if all(m and m[0] in rank for m in pair) and rank[pair[0][0]] < rank[pair[1][0]]]


def main():
    failed = False
    for name in CRATES:
        crate = Crate(f"{name}/src")
        graph = {module: crate.imports(module) for module in crate.files}
        for module, target in upward(graph) if name == "speaker/core" else []:
            print(f"{crate.files[module]} must not import {crate.files[target]}, a part above it", file=sys.stderr)
            failed = True
        if found := circle(graph):
            print(f"{name}: these files import each other in a circle:", file=sys.stderr)
            for module in found:
                print(f"  {crate.files[module]}", file=sys.stderr)
            failed = True
    sys.exit(failed)


main()
