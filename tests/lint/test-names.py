#!/usr/bin/env python3
"""Fails if the name of a test is longer than 70 characters, as CONTRIBUTING.md asks."""

import pathlib
import re
import sys

LONGEST = 70
# The attributes between `#[test]` and the function. A cluster test takes the cluster instead.
TEST = re.compile(r"#\[(?:tokio::)?test\]\s*(?:#\[[^\]]*\]\s*)*(?:async )?fn (\w+)|fn (\w+)\(cluster: &Cluster\)")

root = pathlib.Path(__file__).parents[2]
names = [
    (path.relative_to(root), found[1] or found[2])
    for path in sorted(root.rglob("*.rs"))
    if "target" not in path.relative_to(root).parts
    for found in TEST.finditer(path.read_text())
]
too_long = [f"{path}: {name}" for path, name in names if len(name) > LONGEST]
if not names:
    sys.exit("found no test")
if too_long:
    sys.exit("\n".join([*too_long, f"these names of tests are longer than {LONGEST} characters"]))
