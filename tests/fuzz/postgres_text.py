"""PostgreSQL's text and SQL literals to and from the meanings of `meanings`. Must not import the product."""

from __future__ import annotations

import ipaddress
import json
import re
import struct
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def select_cell(type_name: str, name: str) -> str:
    """Return the SQL of a cell as text that `read_cell` reads, under TimeZone UTC."""
    return f"to_json({name})::text" if type_name.endswith("[]") else f"{name}::text"


def read_cell(type_name: str, text: str | None) -> Any:
    """Return the meaning of what PostgreSQL prints."""
    if text is None:
        return None
    match type_name:
        case "boolean":
            return text == "true"
        case "smallint" | "integer" | "bigint" | "positive":
            return int(text)
        case "numeric" | "numeric(8,2)" | "numeric(4,-2)":
            return Decimal(text)
        case "double precision":
            return struct.pack(">d", float(text))
        case "real":
            return struct.pack(">f", float(text))
        case "bytea":
            return bytes.fromhex(text.removeprefix("\\x"))
        case "uuid":
            return UUID(text)
        case "jsonb":
            return json.dumps(json.loads(text), sort_keys=True)
        case "timestamptz" | "timestamptz(3)" | "timestamp" | "timestamp(0)":
            return datetime.fromisoformat(text).replace(tzinfo=None)
        case "date":
            return date.fromisoformat(text)
        case "time":
            return time.fromisoformat(text)
        case "inet":
            return ipaddress.ip_interface(text)
    return tuple(json.loads(text)) if type_name.endswith("[]") else text


def write_literal(type_name: str, meaning: Any) -> str:
    """Return an SQL literal of a meaning."""
    if meaning is None:
        return "NULL"
    match meaning:
        case bytes() if type_name in ("double precision", "real"):
            text = repr(struct.unpack(">d" if type_name == "double precision" else ">f", meaning)[0])
        case bytes():
            text = "\\x" + meaning.hex()
        case tuple():
            items = [
                "NULL" if item is None else '"' + re.sub(r'(["\\])', r"\\\1", str(item)) + '"'
                for item in meaning
            ]
            text = "{" + ",".join(items) + "}"
        case datetime():
            text = meaning.isoformat(sep=" ") + ("+00" if type_name.startswith("timestamptz") else "")
        case _:
            text = str(meaning)
    name = "text" if type_name == "loose text" else type_name
    return "'" + text.replace("'", "''") + f"'::{name}"
