"""Report → Markdown and LaTeX: report.md and report.tex."""

import re
from collections.abc import Iterable

from builder.contract import printable
from trainer.report.comparison_report import Report
from trainer.report.sentences import with_minus
from trainer.report.tables import Table, tables

MAX_LETTERS = 95  # in a row of small print that fits the page
PIECE = 8  # letters of monospaced text between two places where it may break
PACKAGES = ("array", "booktabs", "longtable")
LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "%": r"\%",
        "&": r"\&",
        "#": r"\#",
        "$": r"\$",
        "_": r"\_",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "`": r"\textasciigrave{}",
        '"': r"\char34{}",
        "|": r"\textbar{}",
        "<": "$<$",
        ">": "$>$",
        "[": "{[}",  # after the end of a row it would be an optional argument
        "]": "{]}",
        "*": "{*}",  # and this a star
        "–": r"\textendash{}",
        "−": "$-$",
        "×": r"$\times$",
        "·": r"$\cdot$",
        "†": r"\dag{}",
        "‡": r"\ddag{}",
        "…": r"\ldots{}",
    }
)


def markdown(report: Report) -> str:
    """The report for people, as GitHub reads it."""
    lines = [f"# {plain(_title(report))}", ""]
    for note in report.notes:
        lines += [f"> {plain(note)}", ">"]
    lines = [*lines[:-1], ""] if report.notes else lines
    lines += ["## Conclusions", ""]
    for name, sentences in _conclusions(report):
        lines += [
            f"**{plain(name)}**",
            "",
            *(f"- {plain(sentence)}" for sentence in sentences),
            "",
        ]
    for name, sentences in _audits(report):
        lines += [f"## Audit of the synthetic images of {plain(name)}", ""]
        lines += [*(f"- {plain(sentence)}" for sentence in sentences), ""]
    for table in tables(report):
        lines += [f"## {plain(table.title)}", "", *_markdown_table(table), ""]
        lines += [plain(table.note), ""]
    return "\n".join(lines).rstrip() + "\n"


def _title(report: Report) -> str:
    names = dict.fromkeys(dataset.name for dataset in report.datasets)
    return f"Arms compared on {', '.join(names)}"


def _conclusions(report: Report) -> list[tuple[str, list[str]]]:
    """The sentences of each dataset that has any, and of each other test set."""
    said = []
    for dataset in report.datasets:
        said.append((dataset.name, [found.sentence for found in dataset.conclusions]))
        for test in dataset.external:
            about = f"{dataset.name}, tested on {test.name}"
            said.append((about, [found.sentence for found in test.conclusions]))
    return [(name, sentences) for name, sentences in said if sentences]


def _audits(report: Report) -> list[tuple[str, list[str]]]:
    """The sentences of each dataset that has an audit."""
    return [(dataset.name, [*dataset.audit]) for dataset in report.datasets if dataset.audit]


def _markdown_table(table: Table) -> list[str]:
    rules = {"r": "---:"}
    lines = [
        _line(plain(name) for name in table.columns),
        _line(rules.get(letter, "---") for letter in table.align),
    ]
    for number, row in enumerate(table.rows):
        cells = [
            code(cell) if letter == "m" else plain(cell)
            for cell, letter in zip(row, table.align, strict=True)
        ]
        if number in table.strong:
            cells = [f"**{cell}**" for cell in cells]
        lines.append(_line(cells))
    return lines


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def plain(text: str) -> str:
    """The text in one line, escaped for Markdown."""
    text = re.sub(r"([\\`*_\[\]|~$])", r"\\\1", _one_line(text))
    return re.sub(r"<(?=[\w/!?])|&(?=[\w#])", r"\\\g<0>", text)


def code(text: str) -> str:
    """The text as a code span; a bar is escaped even there, because the table is parsed first."""
    text = _one_line(text).replace("|", r"\|")
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence, air = "`" * (longest + 1), " " if longest else ""
    return f"{fence}{air}{text}{air}{fence}"


def latex(report: Report) -> str:
    """The same for \\input: a longtable for each table, in one column."""
    lines = [
        "% Made by xtrain report. Needs, in the preamble, LaTeX of 2020 or later and:",
        *(f"%   \\usepackage{{{package}}}" for package in PACKAGES),
        "% In a document of two columns, put \\onecolumn before it: longtables need one.",
        "",
    ]
    if report.notes:
        lines += [r"\paragraph{Notes}", *_list(report.notes), ""]
    for name, sentences in _conclusions(report):
        lines += [rf"\paragraph{{Conclusions, {_escaped(name)}}}", *_list(sentences), ""]
    for name, sentences in _audits(report):
        lines += [rf"\paragraph{{Audit of the synthetic images of {_escaped(name)}}}"]
        lines += [*_list(sentences), ""]
    for table in tables(report):
        lines += [*_latex_table(table), ""]
    return "\n".join(lines).rstrip() + "\n"


def _list(sentences: Iterable[str]) -> list[str]:
    items = (rf"  \item {_escaped(sentence)}" for sentence in sentences)
    return [r"\begin{itemize}", *items, r"\end{itemize}"]


def _latex_table(table: Table) -> list[str]:
    head = " & ".join(rf"\textbf{{{_escaped(name)}}}" for name in table.columns) + r" \\"
    lines = [
        r"\begingroup\scriptsize\setlength{\tabcolsep}{3pt}\setlength{\LTcapwidth}{\linewidth}",
        rf"\begin{{longtable}}{{@{{}}{_columns(table)}@{{}}}}",
        rf"\caption[{_escaped(table.title)}]{{{_escaped(table.title)}. {_escaped(table.note)}}}"
        rf"\label{{tab:{table.key}}}\\",
        *(r"\toprule", head, r"\midrule", r"\endfirsthead"),
        *(r"\toprule", head, r"\midrule", r"\endhead"),
        *(r"\bottomrule", r"\endfoot"),
    ]
    for number, row in enumerate(table.rows):
        cells = [
            _broken(cell) if letter == "m" else _escaped(cell)
            for cell, letter in zip(row, table.align, strict=True)
        ]
        if number in table.strong:
            cells = [rf"\textbf{{{cell}}}" for cell in cells]
        if number in table.starts:
            lines.append(r"\addlinespace")
        lines.append(" & ".join(cells) + r" \\")
    return [*lines, r"\end{longtable}", r"\endgroup"]


def _columns(table: Table) -> str:
    """The columns' kinds; a table wider than the page has columns of fixed width that wrap."""
    cells = [*zip(table.columns, *table.rows, strict=True)]
    longest = [max(map(len, column)) for column in cells]
    if sum(longest) <= MAX_LETTERS:
        return table.align.replace("m", "l")
    words = [
        PIECE if letter == "m" else max(len(word) for cell in column for word in cell.split())
        for column, letter in zip(cells, table.align, strict=True)
    ]
    for limit in range(MAX_LETTERS, 0, -1):  # letters of a column, unless a word is longer
        wide = [max(w, min(c, limit)) for w, c in zip(words, longest, strict=True)]
        if sum(wide) <= MAX_LETTERS:
            break
    return "".join(
        rf">{{\{'raggedleft' if letter == 'r' else 'raggedright'}\arraybackslash}}"
        rf"p{{\dimexpr{width / sum(wide):.3f}\linewidth-2\tabcolsep\relax}}"
        for width, letter in zip(wide, table.align, strict=True)
    )


def _escaped(text: str) -> str:
    """The text, escaped for LaTeX; the hyphen of a number becomes a minus sign."""
    return _letters(with_minus(_one_line(text)))


def _broken(text: str) -> str:
    """Monospaced text that may break after each piece."""
    words = _one_line(text)
    pieces = [words[at : at + PIECE] for at in range(0, len(words), PIECE)]
    quoted = (_letters(piece).replace("'", r"\textquotesingle{}") for piece in pieces)
    return r"\texttt{" + r"\allowbreak{}".join(quoted) + "}"


def _one_line(text: str) -> str:
    """The text without line breaks, runs of blanks and control characters."""
    text = " ".join(text.split())
    return printable(text, len(text))


def _letters(text: str) -> str:
    """The text with every special letter escaped, and no ligature of two hyphens."""
    return re.sub("-(?=-)", "-{}", text.translate(LATEX))
