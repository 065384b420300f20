"""The card says what the generator was made from, and with which command."""

from dataclasses import replace
from pathlib import Path

from builder.contract import load_manifest
from builder.fitgan.card import command_line
from builder.fitgan.settings import Settings


def test_the_card_says_what_was_made_from_what(manifest: Path, unbroken: Path) -> None:
    text = unbroken.with_suffix(".card.md").read_text()
    assert load_manifest(manifest).digest in text
    assert "| Hernia | 0 (never seen) |" in text
    assert "128 real training images of 41 patients" in text
    assert "Its recipe: dataset table, views all, uncertain ones" in text
    assert "| kimg | 0.32 |" in text


def test_the_command_leaves_out_what_is_usual() -> None:
    begin = "xbuild fit-gan manifests/real64.json --resolution 32 --kimg 2"
    usual = Settings(resolution=32, kimg=2)
    assert command_line("real64", usual, "g.safetensors") == f"{begin} --out g.safetensors"
    other = replace(usual, diffaug=False, grow=True, fmap_base=512)
    words = "--no-diffaug --grow --fmap-base 512"
    assert command_line("real64", other, "g.safetensors") == f"{begin} {words} --out g.safetensors"
