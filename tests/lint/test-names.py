#!/usr/bin/env python3
"""Fails if the name of a test breaks a rule of CONTRIBUTING.md. It has at most 70 characters, starts
without an article, and no other test has it.
"""

import re
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 70
# The attributes between `#[test]` and the function. A cluster test takes the cluster instead.
TEST = re.compile(
    r"#\[(?:tokio::)?test\]\s*(?:#\[[^\]]*\]\s*)*(?:async )?fn (\w+)|pub\(crate\) fn (\w+)\(cluster: &Cluster\) \{"
)
ARTICLE = re.compile(r"(?:p\d+_)*(?:an?|the)_")


def main():
    files = defaultdict(list)
    for path in sorted(ROOT.rglob("*.rs")):
        if "target" not in path.relative_to(ROOT).parts:
            for found in TEST.finditer(path.read_text()):
                files[found[1] or found[2]].append(str(path.relative_to(ROOT)))
    if not files:
        sys.exit("found no test")
    wrong = []
    for name, paths in files.items():
        where = f"{', '.join(paths)}: {name}"
        if len(name) > LONGEST:
            wrong.append(f"{where} has more than {LONGEST} characters")
        if ARTICLE.match(name):
            wrong.append(f"{where} starts with an article")
        if len(paths) > 1:
            wrong.append(f"{where} is the name of more than one test")
    sys.exit("\n".join(wrong) or None)


main()
