"""One self-contained HTML page: sections with a headline, a picture and words. No script, no request to anywhere."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources


def page(title: str, sections: Sequence[str], *, lead: str = "", footer: str = "") -> str:
    """The page as HTML; sections come from `section`, ``lead`` and ``footer`` are plain text."""
    style = resources.files("mercury.charts").joinpath("page.css").read_text(encoding="utf-8")
    head = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n"
    )
    lead_html = f'<p class="lead">{escape(lead)}</p>' if lead else ""
    end = f"<footer>{escape(footer)}</footer>" if footer else ""
    body = f"<header><h1>{escape(title)}</h1>{lead_html}</header>\n" + "\n".join(sections) + end
    return f"{head}<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"


def section(title: str, *parts: str, number: str = "", caption: str = "", text: str = "") -> str:
    """A section: headline, the number that matters with its caption, a few words, and HTML parts such as charts."""
    figure = (
        f'<p class="number"><b>{escape(number)}</b> <span>{escape(caption)}</span></p>' if number or caption else ""
    )
    words = f"<p>{escape(text)}</p>" if text else ""
    return f"<section>\n<h2>{escape(title)}</h2>\n{figure}{words}{''.join(parts)}\n</section>"


def facts(values: Mapping[str, str], *, warnings: Mapping[str, str] | None = None) -> str:
    """Small tiles: a number each, with what it is; ``warnings`` by the same names stand below as badges."""

    def tile(name: str, value: str) -> str:
        warning = (warnings or {}).get(name)
        badge = f'<dd class="badge">{escape(warning)}</dd>' if warning else ""
        return f"<div><dd>{escape(value)}</dd><dt>{escape(name)}</dt>{badge}</div>"

    return f'<dl class="facts">{"".join(tile(name, value) for name, value in values.items())}</dl>'


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str = "") -> str:
    """A table of text; columns whose every value starts like a number, and is no date, are aligned as numbers."""
    numeric = [all(_is_number(row[place]) for row in rows) for place in range(len(columns))]

    def line(cells: Sequence[str], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=n' if right else ''}>{escape(cell)}</{tag}>"
            for cell, right in zip(cells, numeric, strict=True)
        )

    head = f"<thead><tr>{line(columns, 'th')}</tr></thead>"
    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    words = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f'<div class="scroll"><table>{words}{head}<tbody>{body}</tbody></table></div>'


def _is_number(text: str) -> bool:
    return re.match(r"(?!\d{4}-\d\d)[+−±\d-]", text) is not None if text else True
