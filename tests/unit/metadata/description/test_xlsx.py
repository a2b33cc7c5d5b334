"""XLSX sheets: what a cell shows comes out, what would be lost is an error, and hostile files are bounded."""

from __future__ import annotations

import datetime
import io
import resource
import time
import zipfile

import openpyxl
import pytest

from modos.errors import InvalidInputError
from modos.metadata.description import Matcher, read_descriptions


@pytest.fixture
def book(tmp_path):
    def write(rows, edit=lambda workbook: None, name="s.xlsx"):
        workbook = openpyxl.Workbook()
        for row in rows:
            workbook.active.append(row)
        edit(workbook)
        workbook.save(tmp_path / name)
        return tmp_path / name

    return write


def read(path, **options):
    return [entry.attributes for entry in read_descriptions([path], "sample", **options)]


def replaced(path, part, change):
    """The file with one of its parts changed, or added."""
    out = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for item in old.infolist():
            data = old.read(item)
            new.writestr(item.filename, change(data) if item.filename == part else data)
    path.write_bytes(out.getvalue())
    return path


SHEET = "xl/worksheets/sheet1.xml"


def test_cells_come_out_as_they_are_shown(book):
    path = book(
        [
            ["id", "name", "description", "collector", "sex"],
            [1, 2.5, datetime.date(2026, 1, 2), "A|B", "Male"],
            [7, "x", datetime.datetime(2026, 1, 2, 3, 4), True, None],
            [None] * 5,
            ["S3", 1e6, None, None, None],
        ],
        lambda w: setattr(w.active["A3"], "number_format", "000"),
    )
    assert read(path) == [
        {"@type": "Sample", "id": "1", "name": "2.5", "description": "2026-01-02", "collector": ["A", "B"], "sex": "Male"},
        {"@type": "Sample", "id": "007", "name": "x", "description": "2026-01-02T03:04:00", "collector": ["TRUE"]},
        {"@type": "Sample", "id": "S3", "name": "1000000"},
    ]


def test_headers_and_values_are_matched(book):
    path = book([["Sample ID", "Sex"], ["S1", "F"], ["S2", "male"]])
    assert read(path, matcher=Matcher({"Sample ID": "id", "sex:F": "Female"})) == [
        {"@type": "Sample", "id": "S1", "sex": "Female"},
        {"@type": "Sample", "id": "S2", "sex": "Male"},
    ]


def test_bad_cells_have_the_rows_of_the_worksheet(book):
    with pytest.raises(InvalidInputError, match="row 4, sex: cannot be 'X'"):
        read(book([["id", "sex"], ["S1", "Male"], [None, None], ["S2", "X"]]))


def test_a_formula_is_its_cached_value_or_an_error(book):
    path = book([["id", "name"], ["S1", "=1+1"]])
    with pytest.raises(InvalidInputError, match="row 2, column B: a formula whose value was never computed"):
        read(path)
    replaced(
        path,
        SHEET,
        lambda xml: xml.replace(b"<f>1+1</f><v />", b"<f>1+1</f><v>2</v>").replace(b"<f>1+1</f><v></v>", b"<f>1+1</f><v>2</v>"),
    )
    assert read(path) == [{"@type": "Sample", "id": "S1", "name": "2"}]


def test_errors_and_merged_cells_and_odd_formats_are_told(book):
    def edit(workbook):
        workbook.active["B2"].data_type = "e"
        workbook.active.merge_cells("A2:A3")
        workbook.active["B3"].number_format = '"SAMPLE-"0'

    with pytest.raises(InvalidInputError) as caught:
        read(book([["id", "name"], ["S1", "#N/A"], ["S2", 12]], edit))
    for words in (
        "row 2, column B: is the error #N/A",
        "row 2, cells A2:A3: are merged",
        "row 3, column B: the number 12 is shown in the format",
    ):
        assert words in caught.value.message, caught.value.message


def test_several_worksheets_are_not_guessed(book):
    def edit(workbook):
        workbook.active.title = "one"
        workbook.create_sheet("empty")
        workbook.create_sheet("two").append(["id"])
        workbook["two"].append(["T1"])

    path = book([["id"], ["S1"]], edit)
    with pytest.raises(InvalidInputError, match="2 worksheets: one, two"):
        read(path)
    assert read(path, worksheet="two") == [{"@type": "Sample", "id": "T1"}]
    assert read(path, matcher=Matcher(ask=lambda question, near, allowed: "one")) == [{"@type": "Sample", "id": "S1"}]
    with pytest.raises(InvalidInputError, match="no worksheet three"):
        read(path, worksheet="three")


def test_an_empty_second_worksheet_is_no_matter(book):
    assert read(book([["id"], ["S1"]], lambda workbook: workbook.create_sheet("Sheet2"))) == [{"@type": "Sample", "id": "S1"}]


def test_a_wrong_dimension_hides_nothing(book):
    path = replaced(
        book([["id", "sex"], ["S1", "Male"], ["S2", "Female"]]), SHEET, lambda xml: xml.replace(b'ref="A1:B3"', b'ref="A1"')
    )
    assert [one["sex"] for one in read(path)] == ["Male", "Female"]


HOSTILE = {
    "spaces": lambda xml: xml.replace(b"<sheetData>", b"<sheetData>" + b" " * (100 << 20)),
    "tags": lambda xml: xml.replace(b"</sheetData>", b"<row/>" * 9_000_000 + b"</sheetData>"),
    "cells": lambda xml: xml.replace(b"</sheetData>", b'<row r="9">' + b"<c/>" * 1_000_000 + b"</row></sheetData>"),
    "entities": lambda xml: b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">]>' + xml.partition(b"?>")[2],
    "far": lambda xml: xml.replace(b"</sheetData>", b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'),
    "beyond": lambda xml: xml.replace(
        b"</sheetData>", b'<row r="99999999999"><c r="A99999999999"><v>1</v></c></row></sheetData>'
    ),
    "order": lambda xml: xml.replace(b"</sheetData>", b'<row r="1"><c r="A1"><v>1</v></c></row></sheetData>'),
    "elsewhere": lambda xml: xml.replace(b"</sheetData>", b'<row r="5"><c r="A4"><v>1</v></c></row></sheetData>'),
    "twice": lambda xml: xml.replace(
        b"</sheetData>", b'<row r="5"><c r="A5"><v>1</v></c><c r="A5"><v>2</v></c></row></sheetData>'
    ),
    "string": lambda xml: xml.replace(b"</sheetData>", b'<row r="5"><c r="A5" t="s"><v>999999</v></c></row></sheetData>'),
    "style": lambda xml: xml.replace(b"</sheetData>", b'<row r="5"><c r="A5" s="999999"><v>1</v></c></row></sheetData>'),
    "number": lambda xml: xml.replace(
        b"</sheetData>", b'<row r="5"><c r="A5"><v>' + b"9" * 10000 + b"</v></c></row></sheetData>"
    ),
    "infinity": lambda xml: xml.replace(b"</sheetData>", b'<row r="5"><c r="A5"><v>1e999</v></c></row></sheetData>'),
    "broken": lambda xml: xml[:-20],
    "none": lambda xml: b"",
}


@pytest.mark.sweep(1)
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_one_line_and_bounded(book, kind):
    path = replaced(book([["id"], ["S1"]]), SHEET, HOSTILE[kind])
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(InvalidInputError) as caught:
        read(path)
    assert "\n" not in caught.value.message and len(caught.value.message) < 600
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20, "more than 1 GiB"
    assert time.process_time() - start < 30


@pytest.mark.parametrize("name", ["xl/worksheets/sheet1.dat", "xl/media/image1.png", "sheet"])
def test_a_bomb_by_another_name_is_one(book, name):
    path = book([["id"], ["S1"]])
    out = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for item in old.infolist():
            data = old.read(item).replace(f"/{SHEET}".encode(), f"/{name}".encode())
            if item.filename == SHEET:
                data = HOSTILE["spaces"](data)
            new.writestr(name if item.filename == SHEET else item.filename, data)
    path.write_bytes(out.getvalue())
    with pytest.raises(InvalidInputError, match="unpacks to more than 64 MiB"):
        read(path)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 500, b"id\nS1\n"])
def test_what_is_no_xlsx_says_so(tmp_path, data):
    (tmp_path / "x.xlsx").write_bytes(data)
    with pytest.raises(InvalidInputError, match="x.xlsx"):
        read(tmp_path / "x.xlsx")


def test_old_formats_are_refused_with_what_to_do(tmp_path):
    (tmp_path / "x.ods").write_bytes(b"PK\x03\x04")
    with pytest.raises(InvalidInputError) as caught:
        read(tmp_path / "x.ods")
    assert caught.value.hint == "save it as XLSX, TSV or CSV"


def test_without_openpyxl_the_hint_names_the_extra(book, monkeypatch):
    import sys

    path = book([["id"], ["S1"]])
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(InvalidInputError) as caught:
        read(path)
    assert "modos-store[xlsx]" in caught.value.hint


def test_numbers_that_a_spreadsheet_program_has_rounded_are_told(book):
    """Of 4000123412341234567 it keeps 15 digits, and the rest becomes zeros."""
    with pytest.raises(InvalidInputError, match="1 bad cell: row 2, column A: the number .* has more digits than"):
        read(book([["id"], [4000123412341234567]]))
    assert read(book([["id"], [123456789012345]])) == [{"@type": "Sample", "id": "123456789012345"}]


def test_a_worksheet_without_rows_is_an_error(book):
    with pytest.raises(InvalidInputError, match="describes no element"):
        read(book([["id", "name"]]))
