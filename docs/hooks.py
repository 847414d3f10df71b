"""For mkdocs: what a page links to outside of docs/ is not on the site, and is named by its path in the repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

LINK = re.compile(r"\[([^\]]+)\]\((\.\.?/[^)#]*)(#[^)]*)?\)")


def on_page_markdown(markdown: str, page: Any, **others: object) -> str:
    """The text of a page with such links as text."""
    source = Path(page.file.abs_src_path)
    docs = Path(__file__).resolve().parent

    def named(link: re.Match[str]) -> str:
        target = (source.parent / link[2]).resolve()
        return link[0] if target.is_relative_to(docs) else f"{link[1]} (`{target.relative_to(docs.parent)}`)"

    return LINK.sub(named, markdown)
