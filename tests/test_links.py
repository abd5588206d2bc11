"""Every link to a file, and every file of docs/ that is mentioned, is there: in Markdown and in the notebooks' text."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXTS = [*ROOT.glob("*.md"), ROOT / "data" / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("notebooks/*.py")]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_linked_or_mentioned_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    links = [path.parent / link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
    mentions = [ROOT / name for name in re.findall(r"`(docs/(?!decisions/NNNN)[^`*]+|benchmarks/\w+\.py)", text)]
    assert [str(place) for place in links + mentions if not place.exists()] == []


def test_there_are_texts_and_links() -> None:
    assert len(TEXTS) > 20
    assert "](docs/" in (ROOT / "README.md").read_text(encoding="utf-8")
