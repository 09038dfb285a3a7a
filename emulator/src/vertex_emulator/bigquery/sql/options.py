"""OPTIONS(...), PARTITION BY and CLUSTER BY of DDL statements, in the form of REST resources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlglot import exp

from vertex_emulator.bigquery.sql.dml import target_table
from vertex_emulator.bigquery.sql.parsing import invalid_query, refused, shown
from vertex_emulator.bigquery.sql.scope import Context
from vertex_emulator.bigquery.types import TIMESTAMP
from vertex_emulator.bigquery.values import parse_value

_TRUNCATIONS = ("DATE_TRUNC", "TIMESTAMP_TRUNC", "DATETIME_TRUNC")


@dataclass(frozen=True)
class ExportOptions:
    """OPTIONS of EXPORT DATA, and the settings of an extract job.

    Attributes:
        uri: `gs://` address with one `*` where a file number goes.
        format: `CSV`, `JSON` or `PARQUET`.
        overwrite: Whether files that exist are replaced.
        header: Whether CSV files begin with the names of the columns.
        delimiter: Field delimiter of CSV files.
        compression: `NONE`, `GZIP` or `SNAPPY`.
    """

    uri: str
    format: str
    overwrite: bool = False
    header: bool = True
    delimiter: str = ","
    compression: str = "NONE"


def _constant(node: exp.Expr) -> Any:
    """The value of an option: a literal, an array of them, or a pair."""
    if isinstance(node, exp.Literal):
        if node.is_string:
            return node.this
        return float(node.this) if "." in node.this else int(node.this)
    if isinstance(node, exp.Boolean):
        return bool(node.this)
    if isinstance(node, exp.Null):
        return None
    if isinstance(node, exp.RawString):
        return node.this
    if isinstance(node, exp.Array | exp.Tuple):
        return [_constant(part) for part in node.expressions]
    if isinstance(node, exp.Cast) and isinstance(node.this, exp.Literal):
        return node.this.this
    raise refused(f"{shown(node)} as an option", node)


def _named(properties: Sequence[exp.Expr]) -> dict[str, Any]:
    found = {}
    for part in properties:
        if isinstance(part, exp.FileFormatProperty):
            found["format"] = _constant(part.this)
        elif isinstance(part, exp.LocationProperty):
            found["location"] = _constant(part.this)
        elif isinstance(part, exp.Property) and part.args.get("value") is not None:
            found[part.name.lower()] = _constant(part.args["value"])
        else:
            raise refused(shown(part), part)
    return found


def table_options(
    context: Context, properties: Sequence[exp.Expr], *, keep_null: bool = False
) -> dict[str, Any]:
    """OPTIONS of a table or view, as fields of its REST resource."""
    del context
    changes: dict[str, Any] = {}
    for name, value in _named(properties).items():
        if name in ("description", "friendly_name"):
            changes["description" if name == "description" else "friendlyName"] = value
        elif name == "labels":
            changes["labels"] = _labels(value)
        elif name == "expiration_timestamp":
            changes["expirationTime"] = None if value is None else _milliseconds(value)
        elif name == "require_partition_filter":
            changes["requirePartitionFilter"] = value
        elif name == "partition_expiration_days":
            changes["partitionExpirationMs"] = str(int(float(value) * 86_400_000))
        else:
            raise refused(f"the table option {name}")
    return {key: value for key, value in changes.items() if keep_null or value is not None}


def _labels(value: Any) -> dict[str, str]:
    try:
        return {str(key): str(label) for key, label in value or ()}
    except (TypeError, ValueError) as error:
        raise invalid_query("labels must be an array of pairs of strings") from error


def _milliseconds(value: str) -> str:
    moment: datetime = parse_value(value, TIMESTAMP, "expiration_timestamp")
    return str(int(moment.timestamp() * 1000))


def column_options(node: exp.Properties) -> dict[str, Any]:
    """OPTIONS of a column."""
    found = _named(node.expressions)
    if unknown := set(found) - {"description"}:
        raise refused(f"the column option {min(unknown)}", node)
    return found


def schema_properties(node: exp.Create) -> dict[str, Any]:
    """OPTIONS of CREATE SCHEMA, as fields of a dataset's REST resource."""
    properties = node.args.get("properties")
    found = _named(properties.expressions) if properties else {}
    names = {"description": "description", "friendly_name": "friendlyName", "location": "location"}
    changes: dict[str, Any] = {}
    for name, value in found.items():
        if name == "labels":
            changes["labels"] = _labels(value)
        elif name == "default_table_expiration_days":
            changes["defaultTableExpirationMs"] = str(int(float(value) * 86_400_000))
        elif name in names:
            changes[names[name]] = value
        else:
            raise refused(f"the schema option {name}", node)
    return changes


def table_properties(context: Context, node: exp.Create) -> dict[str, Any]:
    """PARTITION BY, CLUSTER BY and OPTIONS of a table; `like` is the table of LIKE."""
    properties = node.args.get("properties")
    changes: dict[str, Any] = {}
    plain = []
    for part in properties.expressions if properties else ():
        if isinstance(part, exp.PartitionedByProperty):
            changes |= _partitioning(part.this)
        elif isinstance(part, exp.ClusterProperty):
            names = [column.name for column in part.expressions]
            changes["clustering"] = {"fields": names}
        elif isinstance(part, exp.LikeProperty):
            changes["like"] = target_table(context, part.this)
        elif isinstance(part, exp.TemporaryProperty):
            raise refused("temporary tables", node)
        else:
            plain.append(part)
    changes |= table_options(context, plain)
    expiration = changes.pop("partitionExpirationMs", None)
    if expiration is not None:
        if "timePartitioning" not in changes:
            raise invalid_query("partition_expiration_days needs a table partitioned by time", node)
        changes["timePartitioning"]["expirationMs"] = expiration
    return changes


def _partitioning(node: exp.Expr) -> dict[str, Any]:
    plain = isinstance(node, exp.Column | exp.Identifier | exp.Var)
    if plain and not node.name.startswith("_PARTITION"):
        return {"timePartitioning": {"type": "DAY", "field": node.name}}
    if isinstance(node, exp.Anonymous):
        name, parts = str(node.this).upper(), node.expressions
        if name == "DATE" and len(parts) == 1 and isinstance(parts[0], exp.Column):
            return {"timePartitioning": {"type": "DAY", "field": parts[0].name}}
        if name in _TRUNCATIONS and len(parts) == 2 and isinstance(parts[0], exp.Column):
            unit = parts[1].name.upper()
            return {"timePartitioning": {"type": unit, "field": parts[0].name}}
        if name == "RANGE_BUCKET" and len(parts) == 2 and isinstance(parts[1], exp.Anonymous):
            bounds = [str(_constant(part)) for part in parts[1].expressions]
            if len(bounds) == 3 and isinstance(parts[0], exp.Column):
                ranges = dict(zip(("start", "end", "interval"), bounds, strict=True))
                return {"rangePartitioning": {"field": parts[0].name, "range": ranges}}
    raise refused(f"PARTITION BY {shown(node)}", node)


def export_options(node: exp.Export) -> ExportOptions:
    """OPTIONS of EXPORT DATA.

    Raises:
        ApiError: 400 `invalidQuery` if one is missing, wrong or not served.
    """
    found = _named(node.args["options"].expressions)
    known = {"uri", "format", "overwrite", "header", "field_delimiter", "compression"}
    if unknown := set(found) - known:
        raise refused(f"the export option {min(unknown)}", node)
    if not isinstance(found.get("uri"), str) or not isinstance(found.get("format"), str):
        raise invalid_query("EXPORT DATA needs the options uri and format", node)
    if found["uri"].count("*") != 1:
        raise invalid_query("The uri of EXPORT DATA must contain one wildcard (*)", node)
    return ExportOptions(
        uri=found["uri"],
        format=found["format"].upper(),
        overwrite=bool(found.get("overwrite", False)),
        header=bool(found.get("header", False)),
        delimiter=str(found.get("field_delimiter", ",")),
        compression=str(found.get("compression") or "NONE").upper(),
    )
