"""Load a CSV file of killmails, plain or gzipped, into the sample table of `local/sample/`.

    python -m local.load_csv killmails.csv.gz --database-url postgresql://user@host:5432/killboard

The file is UTF-8, its columns are separated by commas, and its first line is this header, in one line:

    killmailId,killmailTime,solarSystemId,victimCharacterId,victimCorporationId,victimAllianceId,victimShipTypeId,
    topAttackerCharacterId,topAttackerCorporationId,topAttackerAllianceId,topAttackerShipTypeId,totalValue,
    attackerCount,npc,solo

Times are UTC, like 2021-11-27T00:00:00Z, values are ISK, like 10000.00, flags are true or false; every column but the
first two may be empty. Good lines are kept, bad ones are reported with their line numbers and reasons, and killmails
that the table has already are left alone: loading twice adds nothing. Partitions that are missing are made.

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
from typing import BinaryIO, TextIO, cast

import psycopg

#: The first line of a file; `sample.csv_column()` has what the columns may hold.
HEADER = (
    "killmailId",
    "killmailTime",
    "solarSystemId",
    "victimCharacterId",
    "victimCorporationId",
    "victimAllianceId",
    "victimShipTypeId",
    "topAttackerCharacterId",
    "topAttackerCorporationId",
    "topAttackerAllianceId",
    "topAttackerShipTypeId",
    "totalValue",
    "attackerCount",
    "npc",
    "solo",
)

GZIP_MAGIC = b"\x1f\x8b"

#: How other files begin that are taken for CSV.
OTHER_MAGIC = {
    b"\xff\xfe": "is UTF-16: save it as UTF-8",
    b"\xfe\xff": "is UTF-16: save it as UTF-8",
    b"PK\x03\x04": "is a zip archive or a spreadsheet: unpack it, or save it as CSV",
    b"\x28\xb5\x2f\xfd": "is compressed with zstd: plain and gzipped files can be loaded",
    b"\xfd7zXZ": "is compressed with xz: plain and gzipped files can be loaded",
    b"BZh": "is compressed with bzip2: plain and gzipped files can be loaded",
}

#: Bytes of a file that are looked at before anything is started for it.
FIRST_BYTES = 65536

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


def examine(path: Path) -> None:
    """Look at the beginning of a file, so that nothing is started for one that cannot be loaded.

    Args:
        path: a CSV file, plain or gzipped, UTF-8.

    Raises:
        LoadError: it cannot be read, it is no CSV file of killmails, or it has no line after its header.
    """
    try:
        with _data(path) as data:
            begin = data.read(FIRST_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise LoadError(_unreadable(path, error)) from error
    if problem := _problem(begin):
        raise LoadError(f"{path} {problem}. Nothing was loaded.")
    lines = begin.decode("utf-8-sig", errors="replace").splitlines()
    header = next(csv.reader(lines[:1]), [])
    if tuple(header) != HEADER:
        raise LoadError(_header_problem(path, header))
    if not any(line.strip() for line in lines[1:]):
        raise LoadError(f"{path} has a header and no killmails. Nothing was loaded.")


def _problem(begin: bytes) -> str:
    """What a file that begins so is instead of CSV, or ""."""
    for magic, problem in OTHER_MAGIC.items():
        if begin.startswith(magic):
            return problem
    if not begin.strip():
        return "is empty"
    header = begin.splitlines()[0]
    if b"\0" in header and not header.replace(b"\0", b"").translate(None, delete=bytes(range(32, 127))):
        return OTHER_MAGIC[b"\xff\xfe"]  # without a byte order mark
    if any(byte < 32 and byte != 9 for byte in header.rstrip(b"\r")):
        return "is not a text file"
    for separator, name in ((b";", "semicolons"), (b"\t", "tabs"), (b"|", "vertical bars")):
        if b"," not in header and separator in header:
            return f"separates its columns by {name}: save it with commas"
    return ""


def _unreadable(path: Path, error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return f"{path} cannot be read: {reason}. Nothing was loaded."


def load(path: Path, database_url: str) -> Report:
    """Load a file in one transaction.

    Args:
        path: a CSV file, plain or gzipped, UTF-8.
        database_url: libpq URL or connection string of a database with the objects of `local/sample/`.

    Raises:
        LoadError: the file cannot be read, its header is another, or the database is not ready for it.
    """
    examine(path)
    try:
        with psycopg.connect(database_url) as connection, _text(path) as text:
            return _load(text, connection)
    except (OSError, EOFError, zlib.error) as error:
        raise LoadError(_unreadable(path, error)) from error
    except (
        psycopg.errors.InvalidSchemaName,
        psycopg.errors.UndefinedFunction,
        psycopg.errors.UndefinedTable,
    ) as error:
        raise LoadError(
            f"The database has no sample table: {error.diag.message_primary}. "
            "Run local/sample/install.sql with psql first."
        ) from error
    except psycopg.Error as error:
        raise LoadError(f"The database refused: {error}") from error


def _load(text: TextIO, connection: psycopg.Connection[tuple[object, ...]]) -> Report:
    with connection.cursor() as cursor:
        records = _records(text)
        next(records)  # the header
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
def _data(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked; whether it is gzipped is read from its first bytes, not from its name."""
    with path.open("rb") as raw:
        zipped = raw.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        raw.seek(0)
        with cast("BinaryIO", gzip.open(raw)) if zipped else raw as data:
            yield data


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    """The file's text."""
    with _data(path) as data:
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


def _header_problem(path: Path, header: Sequence[str]) -> str:
    missing = [name for name in HEADER if name not in header]
    # A terminal takes control characters for commands.
    unknown = [
        "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name[:40])
        for name in header
        if name not in HEADER
    ]
    return "\n".join(
        [
            f"{path} has another header than expected. Nothing was loaded.",
            *([f"missing: {', '.join(missing)}"] if missing else []),
            *([f"unknown: {', '.join(unknown[:20])}"] if unknown else []),
            *(["the columns are in another order, or one is there twice"] if not missing and not unknown else []),
            f"expected: {','.join(HEADER)}",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m local.load_csv",
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
