"""Drawings → SVG inside a page: no script, no font, no id that another chart has."""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from xml.etree import ElementTree

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from builder.contract import sha256_bytes
from trainer.report.style import GREY, INK, QUIET

WIDTH = 4.3  # inches; letters of 10.5 pt are then readable on a phone
STYLE = {
    "svg.fonttype": "none",  # text in the page's own font, which can be searched
    "svg.hashsalt": "cxr-rebalance",
    "text.parse_math": False,  # a $ in a name is a $
    "font.size": 10.5,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#e8ecef",
    "text.color": INK,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.edgecolor": "none",
    "legend.fontsize": 9.5,
    "legend.handlelength": 2.4,
    "lines.linewidth": 1.7,
    "lines.markersize": 5,
}
SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
ElementTree.register_namespace("", SVG)
ElementTree.register_namespace("xlink", XLINK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One figure and its title."""

    title: str
    svg: str  # an <svg> element with its alternative text; no other chart has its ids


def make_chart(
    digest: str,
    kind: str,
    title: str,
    alt: str,
    height: float,
    draw: Callable[[Axes], None],
) -> Chart:
    """What `draw` draws on axes of WIDTH × `height` inches; `digest` and `kind` make ids unique."""
    with matplotlib.style.context(STYLE, after_reset=True):  # whatever the user's matplotlibrc says
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        draw(figure.subplots())
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    key = sha256_bytes(f"{digest} {kind} {title}".encode())[:10]
    return Chart(title=title, svg=_inline(file.getvalue(), f"{kind}-{key}-", alt))


def _inline(text: str, prefix: str, alt: str) -> str:
    """The <svg> element without parts that only a file needs; two decimals, ids with `prefix`."""
    root = ElementTree.fromstring(text)
    used = set(re.findall(r"#([\w-]+)", text))
    for element in root.iter():
        for name, value in element.attrib.items():
            if name == "id":
                value = prefix + value if value in used else ""
            elif name == "style":
                value = re.sub("font-family:[^;]*;", "", value)  # it inherits the page's
            if name in ("d", "x", "y", "transform", "style"):
                value = re.sub(r"\d+\.\d{3,}", lambda n: f"{float(n[0]):.2f}", value)
            value = re.sub(r"^#|(?<=url\()#", f"#{prefix}", value)
            element.set(name, value)
        if not element.attrib.get("id", "-"):
            del element.attrib["id"]
    for parent in [*root.iter()]:
        for old in [*parent.findall(f"{{{SVG}}}metadata"), *parent.findall(f"{{{SVG}}}style")]:
            parent.remove(old)
    for name in ("width", "height", "version"):
        del root.attrib[name]
    root.attrib |= {"stroke-linejoin": "round", "stroke-linecap": "butt"}  # what <style> said
    root.attrib |= {"role": "img", "aria-label": alt}
    return ElementTree.tostring(root, encoding="unicode")
