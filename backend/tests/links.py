"""`python -m tests.links`: every relative link in every Markdown file leads to a file, and to a heading in it."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.documents import ROOT, Document


def markdown_files() -> list[Path]:
    """Those of the repository, without what is installed or built."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "*.md"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.exists()]


def broken_links(paths: Iterable[Path]) -> list[str]:
    """A line for each link that leads nowhere."""
    return [f"{path}: {link}" for path in paths for link in Document(path).links if not _leads_somewhere(path, link)]


def _leads_somewhere(path: Path, link: str) -> bool:
    if "://" in link:
        return True
    name, _, anchor = link.partition("#")
    target = (path.parent / name).resolve() if name else path
    return target.exists() and (not anchor or anchor in Document(target).anchors)


def main() -> int:
    for line in (broken := broken_links(markdown_files())):
        print(f"this link leads nowhere: {line}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
