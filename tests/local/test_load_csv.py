"""The CSV loader keeps good lines, names bad ones, and loads nothing twice."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from local import load_csv
from local.load_csv import BadLine, LoadError, examine, load, main
from tests.fixtures.database import ROOT, Database

HEADER = (
    "killmailId,killmailTime,solarSystemId,victimCharacterId,victimCorporationId,victimAllianceId,"
    "victimShipTypeId,topAttackerCharacterId,topAttackerCorporationId,topAttackerAllianceId,"
    "topAttackerShipTypeId,totalValue,attackerCount,npc,solo"
)
FULL = (
    "96953365,2021-11-27T00:00:00Z,30002765,2117917582,98677357,99010931,606,"
    "148333785,1887411974,99007160,3756,27916343.48,1,false,true"
)
SPARSE = "96953368,2021-11-27T00:00:06Z,,,2026831070,,16233,,,,,,,,"
REAL_FILE = ROOT.parent / "shared" / "data" / "killmails_2021-11-27_28.csv.gz"


def csv_file(folder: Path, *lines: str, header: str = HEADER) -> Path:
    path = folder / "killmails.csv"
    path.write_text("".join(f"{line}\n" for line in (header, *lines)))
    return path


def killmail(number: int, time: str = "2021-11-27T00:00:00Z", **changes: str) -> str:
    fields = dict(zip(HEADER.split(","), FULL.split(","), strict=True))
    fields |= {"killmailId": str(number), "killmailTime": time} | changes
    return ",".join(fields.values())


def ids(database: Database) -> list[int]:
    return [number for (number,) in database.fetch('select "killmailId" from public.killmails order by 1')]


def test_good_lines_arrive_as_they_are(bare: Database, tmp_path: Path) -> None:
    report = load(csv_file(tmp_path, FULL, SPARSE), bare.conninfo)
    assert (report.lines, report.inserted, report.known, report.bad) == (2, 2, 0, 0)
    assert str(report) == "2 lines: 2 loaded, 0 known already, 0 bad"
    assert bare.fetch(
        """
        select
            k."killmailId", k."killmailTime" at time zone 'UTC' = '2021-11-27 00:00:00', k."solarSystemId",
            k."victimCharacterId", k."victimCorporationId", k."victimAllianceId", k."victimShipTypeId",
            k."topAttackerCharacterId", k."topAttackerCorporationId", k."topAttackerAllianceId",
            k."topAttackerShipTypeId", k."totalValue" = 27916343.48::real, k."attackerCount",
            k.npc, k.solo, k.awox
        from public.killmails as k where k."killmailId" = 96953365
        """
    ) == [
        (
            96953365, True, 30002765, 2117917582, 98677357, 99010931, 606,
            148333785, 1887411974, 99007160, 3756, True, 1, False, True, False,
        )
    ]  # fmt: skip
    assert (
        bare.value(
            """
        select num_nulls(
            k."solarSystemId", k."victimCharacterId", k."victimAllianceId", k."topAttackerCharacterId",
            k."topAttackerCorporationId", k."topAttackerAllianceId", k."topAttackerShipTypeId",
            k."totalValue", k."attackerCount", k.npc, k.solo
        )
        from public.killmails as k where k."killmailId" = 96953368
        """
        )
        == 11
    )


def test_loading_again_adds_only_what_is_new(bare: Database, tmp_path: Path) -> None:
    load(csv_file(tmp_path, killmail(1), killmail(2)), bare.conninfo)
    report = load(csv_file(tmp_path, killmail(1), killmail(2), killmail(3)), bare.conninfo)
    assert (report.inserted, report.known, report.bad) == (1, 2, 0)
    assert ids(bare) == [1, 2, 3]


def test_bad_lines_are_named_and_good_ones_kept(bare: Database, tmp_path: Path) -> None:
    path = csv_file(
        tmp_path,
        killmail(1),
        "2,2021-11-27T00:00:00Z",
        killmail(3) + ",surplus",
        killmail(4, victimCharacterId="12x"),
        killmail(5, time="2021-02-29T00:00:00Z"),
        killmail(6, time="2021-11-27 00:00:00"),
        killmail(7, time="2021-11-27T24:00:00Z"),
        "",
        killmail(8, totalValue="NaN", npc="maybe"),
        killmail(9, attackerCount="99999999999"),
        killmail(10, victimAllianceId="1234567890123456789"),
        killmail(11, time=""),
        '"12,2021-11-27T00:00:00Z',
        killmail(1),
        killmail(14, totalValue="1.5e+11", victimAllianceId=""),
    )
    report = load(path, bare.conninfo)
    number, time = (
        "a whole number of up to 18 digits expected",
        "a UTC time like 2021-11-27T00:00:00Z expected",
    )
    assert report.bad_lines == [
        BadLine(3, "2 columns instead of 15"),
        BadLine(4, "16 columns instead of 15"),
        BadLine(5, f"victimCharacterId is '12x': {number}"),
        BadLine(6, f"killmailTime is '2021-02-29T00:00:00Z': {time}"),
        BadLine(7, f"killmailTime is '2021-11-27 00:00:00': {time}"),
        BadLine(8, f"killmailTime is '2021-11-27T24:00:00Z': {time}"),
        BadLine(10, "totalValue is 'NaN': a number like 10000.00 expected; npc is 'maybe': true or false expected"),
        BadLine(11, "attackerCount is '99999999999': a whole number of up to 9 digits expected"),
        BadLine(12, f"victimAllianceId is '1234567890123456789': {number}"),
        BadLine(13, f"killmailTime is empty: {time}"),
        BadLine(14, "not readable as CSV"),
        BadLine(15, "killmailId 1 is on line 2 already"),
    ]
    assert (report.lines, report.inserted, report.known, report.bad) == (14, 2, 0, 12)
    assert ids(bare) == [1, 14]


def test_a_known_killmail_with_another_time_is_bad(bare: Database, tmp_path: Path) -> None:
    load(csv_file(tmp_path, killmail(1)), bare.conninfo)
    report = load(csv_file(tmp_path, killmail(1, time="2021-11-28T00:00:00Z")), bare.conninfo)
    assert report.bad_lines == [BadLine(2, "killmailId 1 is in the table with another time: 2021-11-27 00:00:00+00")]
    assert ids(bare) == [1]


def test_leap_days_and_quotes_and_carriage_returns_are_good(bare: Database, tmp_path: Path) -> None:
    path = tmp_path / "windows.csv"
    lines = [HEADER, killmail(1, time="2024-02-29T23:59:59.5Z"), '"2"' + killmail(2)[1:]]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    report = load(path, bare.conninfo)
    assert (report.inserted, report.bad) == (2, 0)


def test_bytes_that_are_no_text_spoil_their_line_only(bare: Database, tmp_path: Path) -> None:
    path = tmp_path / "bytes.csv"
    bad = killmail(2).encode().replace(b"30002765", b"3\xff\x00")
    path.write_bytes(b"\n".join([HEADER.encode(), killmail(1).encode(), bad, killmail(3).encode()]))
    report = load(path, bare.conninfo)
    assert [line.line for line in report.bad_lines] == [3]
    assert ids(bare) == [1, 3]


def test_gzip_is_recognised_by_its_content(bare: Database, tmp_path: Path) -> None:
    path = tmp_path / "killmails.txt"
    path.write_bytes(gzip.compress(f"{HEADER}\n{FULL}\n".encode()))
    assert load(path, bare.conninfo).inserted == 1


def test_a_truncated_gzip_file_loads_nothing(bare: Database, tmp_path: Path) -> None:
    path = tmp_path / "killmails.csv.gz"
    whole = gzip.compress("\n".join([HEADER, *(killmail(number) for number in range(1, 5000))]).encode())
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LoadError, match=r"cannot be read.*Nothing was loaded"):
        load(path, bare.conninfo)
    assert ids(bare) == []


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (HEADER.replace("solo", "lonely"), "missing: solo\nunknown: lonely"),
        (HEADER.replace("npc,solo", "solo,npc"), "the columns are in another order"),
        (HEADER + ",solo", "one is there twice"),
        ("", "missing: killmailId"),
        (FULL, "unknown: 96953365"),
    ],
)
def test_another_header_is_refused(bare: Database, tmp_path: Path, header: str, message: str) -> None:
    with pytest.raises(LoadError) as error:
        load(csv_file(tmp_path, FULL, header=header), bare.conninfo)
    assert message in str(error.value)
    assert f"expected: {HEADER}" in str(error.value)
    assert ids(bare) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n \r\n", "is empty"),
        (f"{HEADER}\n{FULL}\n".encode("utf-16"), "is UTF-16: save it as UTF-8"),
        (f"{HEADER}\n{FULL}\n".encode("utf-16-le"), "is UTF-16: save it as UTF-8"),
        (f"{HEADER}\n{FULL}\n".replace(",", ";").encode(), "separates its columns by semicolons: save it with commas"),
        (f"{HEADER}\n{FULL}\n".replace(",", "\t").encode(), "separates its columns by tabs: save it with commas"),
        (b"\x7fELF\x02\x01\x01\x00\x1b[31m", "is not a text file"),
        (b"PK\x03\x04\x14\x00", "is a zip archive or a spreadsheet"),
        (b"\x1f\x8bnonsense", "cannot be read"),
        (HEADER.encode(), "has a header and no killmails"),
        (f"\ufeff{HEADER}\n\n".encode(), "has a header and no killmails"),
    ],
)
def test_what_is_no_csv_gets_a_sentence_of_its_own(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "killmails.csv"
    path.write_bytes(content)
    with pytest.raises(LoadError) as error:
        examine(path)
    said = str(error.value)
    assert said.startswith(f"{path} {message}")
    assert said.endswith(". Nothing was loaded.")
    assert said.isprintable()


def test_control_characters_of_a_header_do_not_reach_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "killmails.csv"
    path.write_bytes(b"killmailId,\xc2\x9b31m,\xff\xfe\n1,2,3\n")
    with pytest.raises(LoadError) as error:
        examine(path)
    assert all(line.isprintable() for line in str(error.value).splitlines())


@pytest.mark.parametrize("path", ["nowhere.csv", "."])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, path: str) -> None:
    with pytest.raises(LoadError, match=r"cannot be read: (No such file|Is a directory)"):
        examine(tmp_path / path)


def test_the_header_that_is_described_is_the_one_that_is_loaded(bare: Database) -> None:
    columns = bare.fetch('select c.name from sample.csv_column() as c order by c."position"')
    assert [name for (name,) in columns] == HEADER.split(",")
    assert HEADER in "".join((load_csv.__doc__ or "").split())
    assert tuple(HEADER.split(",")) == load_csv.HEADER


def test_a_database_without_the_sample_table_is_named(bare: Database, tmp_path: Path) -> None:
    bare.execute("drop schema sample cascade")
    with pytest.raises(LoadError, match=r"Run local/sample/install\.sql"):
        load(csv_file(tmp_path, FULL), bare.conninfo)


def test_missing_partitions_are_made(bare: Database, tmp_path: Path) -> None:
    path = csv_file(tmp_path, killmail(1, time="2098-05-31T23:59:59Z"), killmail(2, time="2098-12-01T00:00:00Z"))
    assert load(path, bare.conninfo).inserted == 2
    assert bare.fetch('select k.tableoid::regclass::text, k."killmailId" from public.killmails as k order by 2') == [
        ("killmails_2098_05", 1),
        ("killmails_2098_12", 2),
    ]


def test_the_command_tells_by_its_exit_status(
    bare: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = csv_file(tmp_path, FULL)
    assert main([str(good), "--database-url", bare.conninfo]) == 0
    assert capsys.readouterr().out == "1 lines: 1 loaded, 0 known already, 0 bad\n"

    monkeypatch.setenv("DATABASE_URL", bare.conninfo)
    bad = csv_file(tmp_path, FULL, "nonsense")
    assert main([str(bad)]) == 1
    assert capsys.readouterr().out == ("line 3: 1 columns instead of 15\n2 lines: 0 loaded, 1 known already, 1 bad\n")

    assert main([str(tmp_path / "missing.csv")]) == 2
    assert "missing.csv cannot be read" in capsys.readouterr().err

    monkeypatch.delenv("DATABASE_URL")
    with pytest.raises(SystemExit) as exit_:
        main([str(good)])
    assert exit_.value.code == 2


def test_a_long_list_of_bad_lines_is_cut_short_but_counted(bare: Database, tmp_path: Path) -> None:
    report = load(csv_file(tmp_path, *["nonsense"] * 250), bare.conninfo)
    assert report.bad == 250
    assert str(report).splitlines()[-3:] == [
        "line 101: 1 columns instead of 15",
        "and 150 more bad lines",
        "250 lines: 0 loaded, 0 known already, 250 bad",
    ]


@pytest.mark.skipif(not REAL_FILE.exists(), reason="the file of real killmails is not beside the clone")
def test_two_days_of_real_killmails(bare: Database) -> None:
    report = load(REAL_FILE, bare.conninfo)
    assert (report.lines, report.inserted, report.bad) == (34_909, 34_909, 0)
    assert load(REAL_FILE, bare.conninfo).known == 34_909
