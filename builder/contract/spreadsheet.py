"""Cells of CSV files as a spreadsheet program shows them: words of strangers are never formulas."""

_ACTS = ("=", "+", "-", "@")  # by which Excel, LibreOffice and Google Sheets know a formula


def as_text(cell: str) -> str:
    """The cell, with an apostrophe before it where a spreadsheet program would compute it.

    Numbers stay as they are.
    """
    if not cell.lstrip("\t\r\n ").startswith(_ACTS):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell
