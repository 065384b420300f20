import json
import re
from copy import deepcopy
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt  # rich brings it

from trainer.report.build_report import across
from trainer.report.markup import NATURAL, latex, markdown
from trainer.report.tables import tables

Facts = dict[str, Any]
NASTY = r"50% & <b>_x_|$#^~{`}[*]\ --"


@pytest.fixture(scope="module")
def read(run_folders: Path) -> Facts:
    return across([run_folders], min_positives=10, command="xtrain report 'a b'|--x")


@pytest.fixture
def facts(read: Facts) -> Facts:
    return deepcopy(read)


@pytest.fixture
def nasty(read: Facts) -> Facts:
    """The same of a pathology whose name no renderer would choose."""
    found: Facts = json.loads(json.dumps(read).replace("Lung Lesion", json.dumps(NASTY)[1:-1]))
    return found


def bars(line: str) -> int:
    return len(re.findall(r"(?<!\\)\|", line))


def test_markdown_rows_have_as_many_columns_as_their_head(nasty: Facts):
    shown = [len(table.columns) for table in tables(nasty)]
    blocks = re.findall(r"(?:^\|.*\n)+", markdown(nasty), flags=re.MULTILINE)
    assert [bars(block.splitlines()[0]) - 1 for block in blocks] == shown
    for block in blocks:
        assert len({bars(line) for line in block.splitlines()}) == 1


def test_markdown_says_notes_conclusions_and_tables(facts: Facts):
    text = markdown(facts)
    assert text.startswith("# Arms compared on gan1, gan10\n")
    for dataset in facts["datasets"]:
        for found in dataset["conclusions"]:
            assert f"- {found['sentence']}\n" in text
    for note in facts["notes"]:
        assert f"> {note}\n" in text
    for table in tables(facts):
        assert f"\n## {table.title}\n" in text
        assert f"\n{table.note}\n" in text


def test_markdown_reads_as_the_very_cells(nasty: Facts):
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


def test_markdown_commands_are_code(facts: Facts):
    assert r"| report | command | `xtrain report 'a b'\|--x` |" in markdown(facts)


def test_effects_are_bold(facts: Facts):
    assert "| **gan** | **none** | **Lung Lesion** |" in markdown(facts)
    assert r"\textbf{gan} & \textbf{none} & \textbf{Lung Lesion} &" in latex(facts)


def test_a_report_without_notes_or_conclusions_is_whole(facts: Facts):
    facts["notes"] = []
    for dataset in facts["datasets"]:
        dataset["conclusions"] = []
    assert "> " not in markdown(facts).split("## Images")[0]
    assert "itemize" not in latex(facts)


def test_latex_braces_and_environments_are_balanced(nasty: Facts):
    text = re.sub(r"\\[{}]", "", latex(nasty))
    depth = 0
    for letter in text:
        depth += (letter == "{") - (letter == "}")
        assert depth >= 0
    assert depth == 0
    begun = re.findall(r"\\begin\{(\w+)\}", text)
    assert sorted(begun) == sorted(re.findall(r"\\end\{(\w+)\}", text))
    assert text.count(r"\begingroup") == text.count(r"\endgroup") == len(tables(nasty))


def test_latex_escapes_every_letter_with_a_meaning(nasty: Facts):
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


def test_latex_rows_have_as_many_cells_as_their_head(nasty: Facts):
    blocks = re.findall(r"\\midrule\n\\endhead(.*?)\\end\{longtable\}", latex(nasty), re.DOTALL)
    for block, table in zip(blocks, tables(nasty), strict=True):
        rows = [line for line in block.splitlines() if line.endswith(r"\\")]
        assert len(rows) == len(table.rows)
        cells = {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows}
        assert cells == {len(table.columns)}


def test_latex_columns_fit_the_line_and_hold_their_longest_word(facts: Facts):
    specs = re.findall(r"\\begin\{longtable\}\{(.*)\}$", latex(facts), re.MULTILINE)
    wrapped = 0
    for spec, table in zip(specs, tables(facts), strict=True):
        parts = [float(part) for part in re.findall(r"\\dimexpr([\d.]+)\\linewidth", spec)]
        columns = [*zip(table.columns, *table.rows, strict=True)]
        if not parts:
            assert sum(max(map(len, column)) for column in columns) <= NATURAL
            continue
        wrapped += 1
        assert sum(parts) == pytest.approx(1, abs=0.01)
        for part, column, letter in zip(parts, columns, table.align, strict=True):
            if letter != "m":  # which may break anywhere
                word = max(len(word) for cell in column for word in cell.split())
                assert part * NATURAL >= word - 0.5, column[0]
    assert wrapped


def test_latex_needs_the_packages_that_it_names(facts: Facts):
    text = latex(facts)
    head = [line for line in text.splitlines() if line.startswith("%")]
    named = set(re.findall(r"\\usepackage\{(\w+)\}", "\n".join(head)))
    assert named == {"array", "booktabs", "longtable"}
    assert r"\arraybackslash" in text
    assert r"\toprule" in text


def test_latex_minus_is_a_minus_and_words_keep_their_hyphen(facts: Facts):
    text = latex(facts)
    assert re.search(r"\(\$-\$0\.\d{3} to", text)
    assert "20-40" in text
    assert r"-{}-" in text  # of a command


def test_latex_does_nothing_that_a_dataset_is_called(facts: Facts):
    for number, dataset in enumerate(facts["datasets"]):
        dataset["name"] = rf"x}}\input{{/etc/passwd}}%\write18{{id}}{number}"
    text = latex(facts)
    assert not re.search(r"\\(input|write)", text)
    assert r"x\}\textbackslash{}input\{/etc/passwd\}\%" in text
    labels = re.findall(r"\\label\{(.*?)\}\\\\\n", text)
    assert len({*labels}) == len(tables(facts))
    assert all(re.fullmatch("tab:[a-z0-9_-]+", label) for label in labels)


def test_a_label_is_given_once(facts: Facts):
    labels = re.findall(r"\\label\{([^}]*)\}", latex(facts))
    assert labels == [f"tab:{table.key}" for table in tables(facts)]
