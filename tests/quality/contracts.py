"""Contracts written in tests: a table of properties as YAML text, read the way a user's file is."""

from __future__ import annotations

from pathlib import Path

from mercury.quality import Contract, load_contract

HEAD = """apiVersion: v3.1.0
kind: DataContract
id: test
version: 1.0.0
status: active
schema:
  - name: t
"""


def contract_text(properties: str = "", quality: str = "", more: str = "") -> str:
    """A contract file with a table ``t``; properties and quality rules are YAML list items without indentation."""
    text = HEAD
    if properties:
        text += "    properties:\n" + _indented(properties, 6)
    if quality:
        text += "    quality:\n" + _indented(quality, 6)
    return text + more


def contract_of(folder: Path, properties: str = "", quality: str = "", more: str = "") -> Contract:
    """The contract that such a file describes."""
    path = folder / "contract.odcs.yaml"
    path.write_text(contract_text(properties, quality, more), encoding="utf-8")
    return load_contract(path)


def _indented(text: str, by: int) -> str:
    return "".join(f"{' ' * by}{line}\n" if line.strip() else "\n" for line in text.strip("\n").splitlines())
