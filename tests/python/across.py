"""Projects whose source is another database: connection `crm` is read, connection `warehouse` is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import standby
from database import Database
from flow_binary import Flow
from project import Project, value
from server import url

# Names as sessions of `flow` say them.
SESSIONS = "application_name LIKE 'ematix-flow%%' AND datname = current_database()"


@dataclass
class Across(Project):
    """Every pipeline reads `crm` and writes `warehouse`; `session` has settings of either connection."""

    connections: dict[str, dict[str, Any]] = field(default_factory=dict)

    def pipeline(self, name: str, source: str, target: str, mode: str, **options: Any) -> None:
        super().pipeline(name, source, target, mode, **options)
        self.pipelines[name]["source"]["connection"] = "crm"
        self.pipelines[name]["target_connection"] = "warehouse"

    def text(self) -> str:
        bodies = {name: {"dsn": f"${{env:{name.upper()}}}"} for name in ("crm", "warehouse")}
        for name, options in self.connections.items():
            bodies[name] |= options
        return super().text() + "".join(connection(name, body) for name, body in bodies.items())


def connection(name: str, body: Mapping[str, Any]) -> str:
    return f"\n[connections.{name}]\n" + "".join(f"{key} = {value(each)}\n" for key, each in body.items())


def connect(flow: Flow, source: Database | str, target: Database | str) -> None:
    """Where `crm` and `warehouse` point, from now on; with `--from-standby`, the source to the standby of its server."""
    if isinstance(source, Database) and source is not target:
        source = url(standby.instead_of(source.parameters)) if standby.is_for(source.parameters) else source
    for name, place in (("CRM", source), ("WAREHOUSE", target)):
        flow.variables[name] = place.dsn if isinstance(place, Database) else place
