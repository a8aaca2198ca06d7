"""How data files lie: in groups of rows that a reader of a range of time can pass over, with small dictionaries.

delta-rs would write a million rows as one group, all of which a reader of an hour decodes, with dictionaries of up to
a megabyte, which columns of distinct times fill to no use, once for each group. Files are a little larger for smaller
groups.
"""

from __future__ import annotations

from deltalake import WriterProperties

ROWS_PER_GROUP = 122_880
"""Rows of a group, as DuckDB's own files have."""

DICTIONARY_BYTES = 1 << 17
"""A column of a group with more bytes of distinct values is written plainly."""

PROPERTIES = WriterProperties(max_row_group_size=ROWS_PER_GROUP, dictionary_page_size_limit=DICTIONARY_BYTES)
"""The same for delta-rs."""
