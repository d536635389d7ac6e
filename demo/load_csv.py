"""Load a CSV file of killmails, plain or gzipped, into the sample table of `sql/sample/`.

    python -m demo.load_csv killmails.csv.gz --database-url postgresql://user@host:5432/killboard

The header must be the one that `sample.csv_column()` lists. Good lines are kept, bad ones are reported with
their line numbers and reasons, and killmails that the table has already are left alone: loading twice adds
nothing. Partitions that are missing are made.

Exit status: 0 all lines good, 1 some lines bad, 2 nothing loaded.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import os
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import psycopg

GZIP_MAGIC = b"\x1f\x8b"

#: Bad lines that a report spells out; their number is always complete.
REPORTED_LINES = 100


class LoadError(RuntimeError):
    """Nothing was loaded; the message says why and what to do."""


@dataclass(frozen=True)
class BadLine:
    """A line that was refused."""

    line: int
    reason: str


@dataclass(frozen=True)
class Report:
    """What became of a file's lines, the header and blank lines not counted."""

    lines: int
    inserted: int
    known: int
    bad: int
    #: The first `REPORTED_LINES` bad lines.
    bad_lines: Sequence[BadLine]

    def __str__(self) -> str:
        text = f"{self.lines:,} lines: {self.inserted:,} loaded, {self.known:,} known already, {self.bad:,} bad"
        more = self.bad - len(self.bad_lines)
        return "\n".join(
            [
                *(f"line {bad.line}: {bad.reason}" for bad in self.bad_lines),
                *([f"and {more:,} more bad lines"] if more else []),
                text,
            ]
        )


def load(path: Path, database_url: str) -> Report:
    """Load a file in one transaction.

    Args:
        path: a CSV file, plain or gzipped, UTF-8.
        database_url: libpq URL or connection string of a database with the objects of `sql/sample/`.

    Raises:
        LoadError: the file cannot be read, its header is another, or the database is not ready for it.
    """
    try:
        with psycopg.connect(database_url) as connection, _text(path) as text:
            return _load(text, path, connection)
    except (OSError, EOFError, zlib.error) as error:
        raise LoadError(f"{path} cannot be read: {error}. Nothing was loaded.") from error
    except (
        psycopg.errors.InvalidSchemaName,
        psycopg.errors.UndefinedFunction,
        psycopg.errors.UndefinedTable,
    ) as error:
        raise LoadError(
            f"The database has no sample table: {error.diag.message_primary}. "
            "Run sql/sample/killmails.sql and the other files of that folder with psql first."
        ) from error
    except psycopg.Error as error:
        raise LoadError(f"The database refused: {error}") from error


def _load(text: TextIO, path: Path, connection: psycopg.Connection[tuple[object, ...]]) -> Report:
    with connection.cursor() as cursor:
        cursor.execute('select c.name from sample.csv_column() as c order by c."position"')
        expected = [str(name) for (name,) in cursor]
        records = _records(text)
        _, header = next(records, (1, []))
        if header != expected:
            raise LoadError(_header_problem(path, header or [], expected))
        cursor.execute("select sample.stage_killmails()")
        with cursor.copy("copy pg_temp.killmail_line (line, fields) from stdin") as copy:
            copy.set_types(["int8", "text[]"])
            for record in records:
                copy.write_row(record)
        counts = cursor.execute(
            "select l.lines, l.inserted, l.known, l.bad from sample.load_killmails() as l"
        ).fetchone()
        assert counts
        cursor.execute(
            "select l.line, l.reason from pg_temp.killmail_line as l "
            "where l.reason is not null order by l.line limit %s",
            [REPORTED_LINES],
        )
        bad_lines = [BadLine(int(str(line)), str(reason)) for line, reason in cursor]
    lines, inserted, known, bad = (int(str(count)) for count in counts)
    return Report(lines, inserted, known, bad, bad_lines)


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    """The file's text; whether it is gzipped is read from its first bytes, not from its name."""
    with path.open("rb") as raw:
        zipped = raw.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        raw.seek(0)
        with gzip.open(raw) if zipped else raw as data:
            # A byte that is no UTF-8 must spoil its line only.
            yield io.TextIOWrapper(data, encoding="utf-8-sig", errors="replace", newline="")


def _records(text: TextIO) -> Iterator[tuple[int, list[str] | None]]:
    """Number and fields of each line; None for what is not CSV; blank lines are left out."""
    for number, line in enumerate(text, start=1):
        # Line by line: no column can hold a line break, and a lost quote must not swallow the rest.
        # The database's text cannot hold NUL.
        reader = csv.reader([line.replace("\0", "\N{REPLACEMENT CHARACTER}")], strict=True)
        try:
            fields = next(reader)
        except csv.Error:
            yield number, None
        else:
            if fields:
                yield number, fields


def _header_problem(path: Path, header: Sequence[str], expected: Sequence[str]) -> str:
    missing = [name for name in expected if name not in header]
    unknown = [name for name in header if name not in expected]
    return "\n".join(
        [
            f"{path} has another header than expected. Nothing was loaded.",
            *([f"missing: {', '.join(missing)}"] if missing else []),
            *([f"unknown: {', '.join(name[:40] for name in unknown[:20])}"] if unknown else []),
            *(["the columns are in another order, or one is there twice"] if not missing and not unknown else []),
            f"expected: {','.join(expected)}",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m demo.load_csv",
        description="Load a CSV file of killmails, plain or gzipped. Good lines are kept, bad ones reported; "
        "loading a file twice adds nothing.",
        epilog="Exit status: 0 all lines good, 1 some lines bad, 2 nothing loaded.",
    )
    parser.add_argument("file", type=Path, help="the CSV file")
    parser.add_argument(
        "--database-url",
        default=os.environ.get("DATABASE_URL"),
        help="postgresql://user@host:5432/database; default: the environment variable DATABASE_URL",
    )
    options = parser.parse_args(arguments)
    if not options.database_url:
        parser.error("say which database: --database-url or the environment variable DATABASE_URL")
    try:
        report = load(options.file, options.database_url)
    except LoadError as error:
        print(error, file=sys.stderr)
        return 2
    print(report)
    return 1 if report.bad else 0


if __name__ == "__main__":
    sys.exit(main())
