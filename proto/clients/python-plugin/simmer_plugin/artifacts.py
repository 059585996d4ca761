"""Artifacts, and tables as Parquet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from google.protobuf import json_format

from simmer_plugin.generated.simmer.plugin.v1 import artifact_pb2

#: One row of a table: plain JSON values.
Row = Mapping[str, Any]

_BATCH_ROWS = 2048
_TYPES = {
    artifact_pb2.ARTIFACT_TYPE_DATASET: "dataset",
    artifact_pb2.ARTIFACT_TYPE_MODEL: "model",
    artifact_pb2.ARTIFACT_TYPE_GENERATIONS: "generations",
    artifact_pb2.ARTIFACT_TYPE_REPORT: "report",
}


@dataclass(frozen=True)
class Artifact:
    """Files that never change again, named by the digest of their content. Never write into its folder."""

    uri: str
    #: "dataset", "model", "generations" or "report".
    type: str
    folder: Path
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        """One of its files."""
        return self.folder / name


@dataclass(frozen=True)
class Table(Artifact):
    """A dataset or generations: `data.parquet`."""

    #: Column name to DuckDB's name of its type, in order.
    columns: Mapping[str, str] = field(default_factory=dict)
    row_count: int = 0

    def rows(self) -> Iterator[dict[str, Any]]:
        """Its rows, in order, a batch at a time. May be read many times."""
        with pq.ParquetFile(self.path("data.parquet")) as file:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                yield from batch.to_pylist()

    def require_columns(self, *names: str) -> None:
        """Raises UserError `missing_column` where one is not there."""
        from simmer_plugin.errors import UserError

        missing = [name for name in names if name not in self.columns]
        if missing:
            raise UserError(
                "missing_column",
                f"The table has no column {', '.join(missing)}; it has {', '.join(self.columns)}.",
                "Map your field to it where the data is loaded.",
            )


def artifact_of(message: artifact_pb2.Artifact) -> Artifact:
    """An artifact as the host sends it."""
    kind = _TYPES.get(message.type, "unknown")
    metadata = json_format.MessageToDict(message.metadata)
    folder = Path(message.folder)
    if not message.HasField("row_count"):
        return Artifact(message.uri, kind, folder, metadata)
    columns = {column.name: column.type for column in message.columns}
    return Table(message.uri, kind, folder, metadata, columns, message.row_count)


def write_parquet(file: Path, rows: Iterable[Row], columns: Mapping[str, str] | None) -> None:
    """Writes rows to a file. Without columns all rows are held in memory: it has all that any row has, as they come.

    Raises ValueError for a row that does not fit the columns given, and where nothing says what they are.
    """
    if columns is None:
        held = list(rows)
        names = list(dict.fromkeys(name for row in held for name in row))
        if not names:
            raise ValueError("a table without rows needs `columns`: nothing else says which it has")
        pq.write_table(pa.Table.from_pylist([{name: row.get(name) for name in names} for row in held]), file)
        return
    schema = pa.schema([(name, _ColumnTypeReader(text).read()) for name, text in columns.items()])
    with pq.ParquetWriter(file, schema) as writer:
        batch: list[dict[str, Any]] = []
        number = 0
        for number, row in enumerate(rows, 1):
            if not isinstance(row, Mapping):
                raise ValueError(f"row {number} is {row!r:.200}, where its columns by their names are expected")
            for name in row:
                if name not in columns:
                    raise ValueError(
                        f"row {number} has the column {name!r}, which is not among `columns`: {[*columns]}"
                    )
            batch.append({name: row.get(name) for name in columns})
            if len(batch) == _BATCH_ROWS:
                writer.write_batch(_packed(batch, schema, number - len(batch) + 1))
                batch = []
        writer.write_batch(_packed(batch, schema, number - len(batch) + 1))


def _packed(batch: list[dict[str, Any]], schema: Any, first: int) -> Any:
    """Rows as Arrow has them; the first has the number first. Raises ValueError for a value that does not fit."""
    try:
        return pa.RecordBatch.from_pylist(batch, schema=schema)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        for number, row in enumerate(batch, first):
            for field in schema:
                try:
                    pa.array([row[field.name]], field.type)
                except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
                    where = f"row {number}, column {field.name!r}, where {field.type} is expected"
                    raise ValueError(f"{where}: {row[field.name]!r:.200} was found") from error
        raise


_ARROW_TYPES = {
    "VARCHAR": pa.string,
    "BOOLEAN": pa.bool_,
    "DOUBLE": pa.float64,
    "TINYINT": pa.int8,
    "SMALLINT": pa.int16,
    "INTEGER": pa.int32,
    "BIGINT": pa.int64,
    "UTINYINT": pa.uint8,
    "USMALLINT": pa.uint16,
    "UINTEGER": pa.uint32,
    "UBIGINT": pa.uint64,
}


class _ColumnTypeReader:
    """Reads DuckDB's names of types: "VARCHAR[]", "STRUCT(role VARCHAR, content VARCHAR)[]"."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[str] = re.findall(r'"(?:[^"]|"")+"|\w+|\[\]|\S', text)

    def read(self) -> Any:
        """The type as Arrow has it."""
        found = self._type()
        if self._tokens:
            raise self._unknown()
        return found

    def _type(self) -> Any:
        name = self._take().upper()
        if name == "STRUCT":
            found = self._struct()
        elif name in _ARROW_TYPES:
            found = _ARROW_TYPES[name]()
        else:
            raise self._unknown()
        while self._tokens[:1] == ["[]"]:
            self._take()
            found = pa.list_(found)
        return found

    def _struct(self) -> Any:
        fields = []
        self._expect("(")
        while True:
            name = self._take()
            fields.append((name[1:-1].replace('""', '"') if name.startswith('"') else name, self._type()))
            if self._take() == ")":
                return pa.struct(fields)

    def _expect(self, token: str) -> None:
        if self._take() != token:
            raise self._unknown()

    def _take(self) -> str:
        if not self._tokens:
            raise self._unknown()
        return self._tokens.pop(0)

    def _unknown(self) -> ValueError:
        return ValueError(f"{self._text!r} is no type of a column; host.proto has them")
