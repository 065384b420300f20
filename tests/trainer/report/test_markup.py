import json
import re
from collections.abc import Callable
from dataclasses import replace
from html import escape, unescape
from typing import Any

import pytest
from markdown_it import MarkdownIt  # rich brings it

from trainer.report.comparison_report import Report
from trainer.report.markup import MAX_LETTERS, latex, markdown
from trainer.report.tables import tables

Facts = dict[str, Any]
AsReport = Callable[[Facts], Report]
NASTY = r"50% & <b>_x_|$#^~{`}[*]\ --"


@pytest.fixture(scope="module")
def nasty(report_json: Facts, as_report: AsReport) -> Report:
    """A report with a pathology whose name no renderer would choose."""
    text = json.dumps(report_json | {"command": "xtrain report 'a b'|--x"})
    return as_report(json.loads(text.replace("Lung Lesion", json.dumps(NASTY)[1:-1])))


def bars(line: str) -> int:
    return len(re.findall(r"(?<!\\)\|", line))


def test_markdown_rows_have_as_many_columns_as_their_head(nasty: Report) -> None:
    shown = [len(table.columns) for table in tables(nasty)]
    blocks = re.findall(r"(?:^\|.*\n)+", markdown(nasty), flags=re.MULTILINE)
    assert [bars(block.splitlines()[0]) - 1 for block in blocks] == shown
    for block in blocks:
        assert len({bars(line) for line in block.splitlines()}) == 1


def test_markdown_says_notes_conclusions_and_tables(report: Report) -> None:
    text = markdown(report)
    assert text.startswith("# Arms compared on gan1, gan10\n")
    for dataset in report.datasets:
        for found in dataset.conclusions:
            assert f"- {found.sentence}\n" in text
    for note in report.notes:
        assert f"> {note}\n" in text
    for table in tables(report):
        assert f"\n## {table.title}\n" in text
        assert f"\n{table.note}\n" in text


def test_markdown_reads_as_the_very_cells(nasty: Report) -> None:
    reader = MarkdownIt().enable(["table", "strikethrough"])
    html = reader.render(markdown(nasty))
    read = [
        [re.sub("<[^>]*>", "", cell) for cell in re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row)]
        for row in re.findall("<tr>(.*?)</tr>", html, re.DOTALL)
    ]
    expected = [row for table in tables(nasty) for row in (table.columns, *table.rows)]
    assert [[unescape(cell) for cell in row] for row in read] == [[*row] for row in expected]
    titles = re.findall("<h2>(.*?)</h2>", html)
    assert titles == ["Conclusions", *(escape(t.title, quote=False) for t in tables(nasty))]


def test_markdown_commands_are_code(nasty: Report) -> None:
    assert r"| report | command | `xtrain report 'a b'\|--x` |" in markdown(nasty)


def test_effects_are_bold(report: Report) -> None:
    assert "| **gan** | **none** | **Lung Lesion** |" in markdown(report)
    assert r"\textbf{gan} & \textbf{none} & \textbf{Lung Lesion} &" in latex(report)


def test_a_report_may_have_no_notes_and_no_conclusions(report: Report) -> None:
    datasets = tuple(replace(dataset, conclusions=()) for dataset in report.datasets)
    report = replace(report, notes=(), datasets=datasets)
    assert "> " not in markdown(report).split("## Images")[0]
    assert "itemize" not in latex(report)


def test_latex_braces_and_environments_are_balanced(nasty: Report) -> None:
    text = re.sub(r"\\[{}]", "", latex(nasty))
    depth = 0
    for letter in text:
        depth += (letter == "{") - (letter == "}")
        assert depth >= 0
    assert depth == 0
    begun = re.findall(r"\\begin\{(\w+)\}", text)
    assert sorted(begun) == sorted(re.findall(r"\\end\{(\w+)\}", text))
    assert text.count(r"\begingroup") == text.count(r"\endgroup") == len(tables(nasty))


def test_latex_escapes_every_letter_with_a_meaning(nasty: Report) -> None:
    assert (
        r"50\% \& $<$b$>$\_x\_\textbar{}\$\#\textasciicircum{}\textasciitilde{}"
        r"\{\textasciigrave{}\}{[}{*}{]}\textbackslash{} -{}-"
    ) in latex(nasty)
    for line in latex(nasty).splitlines():
        body = re.sub(r"\\[%&#$_{}\\]", "", line)
        assert "%" not in body or line.startswith("%")
        assert "#" not in body
        assert "_" not in re.sub(r"\\label\{[^}]*\}", "", body)
        assert "^" not in body
        assert "~" not in body
        assert body.count("$") % 2 == 0
        assert not re.search("--", re.sub("^%.*", "", body))


def test_latex_rows_have_as_many_cells_as_their_head(nasty: Report) -> None:
    blocks = re.findall(r"\\midrule\n\\endhead(.*?)\\end\{longtable\}", latex(nasty), re.DOTALL)
    for block, table in zip(blocks, tables(nasty), strict=True):
        rows = [line for line in block.splitlines() if line.endswith(r"\\")]
        assert len(rows) == len(table.rows)
        cells = {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows}
        assert cells == {len(table.columns)}


def test_latex_columns_fit_the_line_and_hold_their_longest_word(report: Report) -> None:
    specs = re.findall(r"\\begin\{longtable\}\{(.*)\}$", latex(report), re.MULTILINE)
    wrapped = 0
    for spec, table in zip(specs, tables(report), strict=True):
        parts = [float(part) for part in re.findall(r"\\dimexpr([\d.]+)\\linewidth", spec)]
        columns = [*zip(table.columns, *table.rows, strict=True)]
        if not parts:
            assert sum(max(map(len, column)) for column in columns) <= MAX_LETTERS
            continue
        wrapped += 1
        assert sum(parts) == pytest.approx(1, abs=0.01)
        for part, column, letter in zip(parts, columns, table.align, strict=True):
            if letter != "m":  # which may break anywhere
                word = max(len(word) for cell in column for word in cell.split())
                assert part * MAX_LETTERS >= word - 0.5, column[0]
    assert wrapped


def test_latex_needs_the_packages_that_it_names(report: Report) -> None:
    text = latex(report)
    head = [line for line in text.splitlines() if line.startswith("%")]
    named = set(re.findall(r"\\usepackage\{(\w+)\}", "\n".join(head)))
    assert named == {"array", "booktabs", "longtable"}
    assert r"\arraybackslash" in text
    assert r"\toprule" in text


def test_latex_minus_is_a_minus_and_words_keep_their_hyphen(nasty: Report) -> None:
    text = latex(nasty)
    assert re.search(r"\(\$-\$0\.\d{3} to", text)
    assert "20-40" in text
    assert r"-{}-" in text  # of a command


def test_latex_does_nothing_that_a_dataset_is_called(report: Report) -> None:
    names = [rf"x}}\input{{/etc/passwd}}%\write18{{id}}{number}" for number in (0, 1)]
    datasets = [replace(d, name=n) for d, n in zip(report.datasets, names, strict=True)]
    text = latex(replace(report, datasets=tuple(datasets)))
    assert not re.search(r"\\(input|write)", text)
    assert r"x\}\textbackslash{}input\{/etc/passwd\}\%" in text
    labels = re.findall(r"\\label\{(.*?)\}\\\\\n", text)
    assert len({*labels}) == len(tables(report))
    assert all(re.fullmatch("tab:[a-z0-9_-]+", label) for label in labels)


def test_a_label_is_given_once(report: Report) -> None:
    labels = re.findall(r"\\label\{([^}]*)\}", latex(report))
    assert labels == [f"tab:{table.key}" for table in tables(report)]


def test_no_control_sequence_is_in_the_texts(report: Report) -> None:
    report = replace(report, notes=("a \x1b[2J\u202e name",))
    for text in (markdown(report), latex(report)):
        assert all(line.isprintable() for line in text.splitlines())
