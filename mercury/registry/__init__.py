"""What has been applied: revisions of a project in SQLite or PostgreSQL, and plans that lead to the next one."""

from mercury.registry.plan import Change, FieldChange, Plan
from mercury.registry.store import Registry, Revision

__all__ = ["Change", "FieldChange", "Plan", "Registry", "Revision"]
