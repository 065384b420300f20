"""Colours that every picture shares."""

COLOURS = ("#d1495b", "#00798c", "#c98a1b", "#4f8a5b", "#8d5a97", "#2e4057")
GREY = "#9aa3ab"
