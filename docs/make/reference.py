"""docs/xbuild.md and docs/xtrain.md: every command and option, as the commands themselves say it.

python docs/make/reference.py           # write both pages
"""

import re
from collections.abc import Iterator
from pathlib import Path

import click

from builder.cli import cli as xbuild
from trainer.cli import main as xtrain

DOCS = Path(__file__).parents[1]
NUMBER = "NUMBER"
COMMANDS: dict[str, click.Command] = {"xbuild": xbuild, "xtrain": xtrain}
TOP = "<!-- Written by make docs: change the help of the command instead. -->"
SHORT = "`-h` shows the same on the terminal. An option without a default is not set."
NOTES = {
    "xbuild": "Every option of `xbuild` has an environment variable: its command and its name, as "
    "in `XBUILD_SYNTH_IMAGE_SIZE`. Values of an option that repeats stand between semicolons. "
    f"`XBUILD_ROOT` is `--root` of every command. {SHORT}",
    "xtrain": SHORT,
}
# The default at the end of a help text, where click does not show it itself.
SAID = re.compile(r"\s*\[(default|always): (.*)\]$")


def contexts(name: str) -> Iterator[click.Context]:
    """The contexts of a command's subcommands, by name; hidden ones are old names."""
    group = COMMANDS[name]
    assert isinstance(group, click.Group)
    parent = click.Context(group, info_name=name)
    for word, command in sorted(group.commands.items()):
        if not command.hidden:
            yield click.Context(command, parent=parent, info_name=word)


def cell(text: str) -> str:
    """A text as a cell of a table, in which no sign is taken for Markdown or HTML."""
    flat = " ".join(text.split())
    return re.sub(r"([|*_\\[\]])", r"\\\1", flat).replace("<", "&lt;")


def values_of(option: click.Option, context: click.Context) -> str:
    """What follows the option: a word for a number, or the words to choose from."""
    if option.is_flag:
        return ""
    if isinstance(option.type, click.IntRange | click.FloatRange):
        return NUMBER
    words = option.make_metavar(context)
    if isinstance(option.type, click.Choice):
        words = words[1:-1]  # click's brackets around the words
    return {"INTEGER": NUMBER, "FLOAT": NUMBER}.get(words, words.replace("|", " · "))


def limits(kind: click.ParamType) -> str:
    """The range of a number in words; "" without one."""
    if not isinstance(kind, click.IntRange | click.FloatRange):
        return ""
    low = "" if kind.min is None else f"{'above ' if kind.min_open else ''}{kind.min:g}"
    high = "" if kind.max is None else f"{'below ' if kind.max_open else ''}{kind.max:g}"
    if low and high:
        return f" ({low} to {high})"
    return f" ({low}{'' if kind.min_open else ' or more'})" if low else f" (at most {high})"


def default_of(option: click.Option, context: click.Context) -> str:
    """The default as the help tells it, by itself or by the words of the help text."""
    extra = option.get_help_extra(context)
    if extra.get("required"):
        return "required"
    if said := SAID.search(option.help or ""):
        return f"always {said[2]}" if said[1] == "always" else said[2]
    return extra.get("default", "").strip("()")


def option_row(option: click.Option, context: click.Context) -> str:
    """A row: how the option is written, what it does, the range of its values, its default."""
    names = " / ".join(f"`{name}`" for name in [option.opts[-1], *option.secondary_opts[-1:]])
    written = f"{names} {cell(values_of(option, context))}".rstrip()
    helped = cell(SAID.sub("", option.help or "") + limits(option.type))
    return f"| {written} | {helped} | {cell(default_of(option, context))} |"


def prose(text: str) -> str:
    """A command's help as paragraphs on lines of their own."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def command_text(context: click.Context) -> str:
    """The section of a command."""
    command = context.command
    usage = command.collect_usage_pieces(context)
    options = [each for each in command.params if isinstance(each, click.Option)]
    rows = [option_row(each, context) for each in options if not each.hidden]
    table = ["| option | what it does | default |", "|---|---|---|", *rows] if rows else []
    return "\n".join(
        [
            f"## {context.command_path}",
            "",
            prose(command.help or ""),
            "",
            "```",
            " ".join([context.command_path, *usage]),
            "```",
            "",
            *table,
        ]
    ).rstrip()


def page(name: str) -> str:
    """The page of xbuild or xtrain."""
    listed = [
        f"- [`{each.command_path}`](#{each.command_path.replace(' ', '-')}): "
        f"{each.command.get_short_help_str(200)}"
        for each in contexts(name)
    ]
    sections = [command_text(each) for each in contexts(name)]
    head = [f"# {name}: every command and option", TOP, prose(COMMANDS[name].help or "")]
    return "\n\n".join([*head, NOTES[name], "\n".join(listed), *sections]) + "\n"


def main() -> None:
    """Write both pages."""
    for name in COMMANDS:
        (DOCS / f"{name}.md").write_text(page(name), encoding="utf-8")


if __name__ == "__main__":
    main()
