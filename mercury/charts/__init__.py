"""Charts and pages of reports: inline SVG and CSS in one HTML file that needs nothing else, light, dark and on paper.

page("Delays", [section("Weekly", chart([Series("AUC", weeks, values)], y="AUC"), "Falls once the fault sets in.")])
"""

from mercury.charts.document import facts, page, section, table
from mercury.charts.svg import Mark, Series, Span, chart

__all__ = ["Mark", "Series", "Span", "chart", "facts", "page", "section", "table"]
