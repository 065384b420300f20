"""What only the publisher can say of a release: licence, contact, use, terms → Publisher.

Options and `release.toml` say it; an option wins over the file. Nothing is guessed.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path

from builder.contract import UsageError, printable
from builder.contract.record import read_bytes
from builder.share.licences import OTHER, Licence, find_licence

MAX_TEXT = 20_000  # characters of one field
MAX_FILE = 1 << 20  # bytes of a licence, a card or a release.toml

_LINES = ("creator", "contact", "date", "license_name", "title", "version", "url", "approved_by")
_FILES = ("license_file", "generator_card")  # fields that name a file
_NEEDED = {  # field → what it says, for who left it out
    "license": "the licence",
    "creator": "who made the dataset",
    "contact": "an e-mail address or a page for questions",
    "intended_use": "what it is meant for",
    "source_terms": "the terms of the real images' source",
    "date": "the day of publication",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """What the publisher says; "" is unsaid. Texts are Markdown."""

    licence: Licence
    creator: str
    contact: str  # an e-mail address or an https page
    intended_use: str
    source_terms: str  # under which the real images were received
    date: str  # of publication, YYYY-MM-DD
    license_text: str = ""  # the whole text of the licence
    version: str = "1.0.0"
    title: str = ""
    url: str = ""  # of the dataset's page
    source: str = ""  # where and when the real images were taken
    approved_by: str = ""  # who approved the licence
    forbidden_use: str = ""
    limitations: str = ""
    withdrawal: str = ""  # how a release is taken back
    cite: str = ""  # BibTeX
    gated: str = ""  # what a reader must agree to before the download
    generator_card: str = ""  # the text of the generator's card


def read_publisher(options: Mapping[str, str | None], config: Path | None) -> Publisher:
    """What the publisher says in options and in a release.toml.

    UsageError names all that is missing in one sentence, or the first field that is wrong.
    """
    said: dict[str, str] = {}
    base = Path()
    if config is not None:
        said, base = _read_config(config), config.parent
    texts = {name: _read_file(base / said[name], name) for name in _FILES if name in said}
    given = {name: value for name, value in options.items() if value is not None}
    texts |= {name: _read_file(Path(given[name]), name) for name in _FILES if name in given}
    said = {name: value.strip() for name, value in {**said, **given}.items() if name not in _FILES}
    if missing := [name for name in _NEEDED if not said.get(name)]:
        options_text = ", ".join(f"{_option(name)} ({_NEEDED[name]})" for name in missing)
        raise UsageError(f"A release must say more: add {options_text}, or write it in --config.")
    _check_texts(said)
    licence = _licence(said.pop("license"), said.pop("license_name", ""), texts)
    return Publisher(
        licence=licence,
        license_text=texts.get("license_file", ""),
        generator_card=texts.get("generator_card", ""),
        **{name: value for name, value in said.items() if value},
    )


def field_names() -> tuple[str, ...]:
    """The fields of a release.toml; each is an option, too."""
    own = [field.name for field in fields(Publisher)]
    taken = ("licence", "license_text", "generator_card")
    return ("license", "license_name", *_FILES, *(name for name in own if name not in taken))


def _read_config(path: Path) -> dict[str, str]:
    try:
        raw = tomllib.loads(read_bytes(path, MAX_FILE).decode())
    except (tomllib.TOMLDecodeError, UnicodeError) as error:
        why = printable(str(error), 200)
        raise UsageError(f"{path} is not valid TOML: {why[0].lower() + why[1:]}.") from None
    known = field_names()
    if unknown := next((name for name in raw if name not in known), None):
        raise UsageError(
            f"{path} has the field {printable(repr(unknown))}; it may have {', '.join(known)}."
        )
    said: dict[str, str] = {}
    for name, value in raw.items():
        if type(value) is date:  # TOML has dates of its own
            value = value.isoformat()
        if not isinstance(value, str):
            found = printable(repr(value))
            raise UsageError(f'{path}: {name} must be text between quotes "…", got {found}.')
        said[name] = value
    return said


def _read_file(path: Path, field: str) -> str:
    try:
        return read_bytes(path, MAX_FILE).decode().strip()
    except UnicodeError:
        raise UsageError(f"{path}, given by {_option(field)}, is not text in UTF-8.") from None


def _check_texts(said: Mapping[str, str]) -> None:
    for name, value in said.items():
        if len(value) > MAX_TEXT:
            raise UsageError(
                f"{_option(name)} has {len(value):,} characters: at most {MAX_TEXT:,}."
            )
        odd = next((c for c in value if not c.isprintable() and c not in "\n\t"), None)
        if odd is not None or (name in _LINES and "\n" in value):
            what = "a line break" if odd is None else f"the control character {odd!r}"
            raise UsageError(f"{_option(name)} holds {what}: give plain text.")
    _check_date(said["date"])
    contact = said["contact"]
    if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+|https://\S+", contact):
        raise UsageError(
            f"--contact is {printable(repr(contact))}: give an e-mail address or an https page."
        )
    if (url := said.get("url", "")) and not re.fullmatch(r"https://\S+", url):
        raise UsageError(f"--url is {printable(repr(url))}: give the https address of a page.")
    version = said.get("version", "1.0.0")
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise UsageError(
            f"--version is {printable(repr(version))}: give three numbers as in 1.0.0."
        )


def _check_date(text: str) -> None:
    try:
        valid = date.fromisoformat(text).isoformat() == text
    except ValueError:
        valid = False
    if not valid:
        raise UsageError(f"--date is {printable(repr(text))}: give a day as in 2026-11-29.")


def _licence(word: str, name: str, texts: Mapping[str, str]) -> Licence:
    if word.lower() != OTHER:
        if name:
            raise UsageError(f"--license-name belongs to --license {OTHER}: leave it out.")
        return find_licence(word)
    if not name or not texts.get("license_file"):
        raise UsageError(
            f"--license {OTHER} needs --license-name (what it is called) and --license-file "
            "(a file with its text)."
        )
    return Licence(id=OTHER, name=name, url="")


def _option(field: str) -> str:
    return f"--{field.replace('_', '-')}"
