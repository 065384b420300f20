"""An audit's page that may be shown: all its pictures as 4×4 grey values.

    python benchmarks/coarse.py audits/NAME.audit.html coarse.html
    python benchmarks/coarse.py audits/NAME.audit.html copies.html copies    # one section alone

For pictures of the page in docs: no radiograph, and no copy of one, can be seen in it.
"""

import base64
import io
import re
import sys
from pathlib import Path

from PIL import Image

PICTURE = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=]+)")
ALONE = "<style>header, section:not(#{}) {{ display: none }}</style></head>"


def coarse(found: re.Match[str]) -> str:
    """The picture in as many pixels as a sketch has."""
    image = Image.open(io.BytesIO(base64.b64decode(found[1]))).convert("L")
    file = io.BytesIO()
    image.resize((4, 4), Image.Resampling.BOX).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


if __name__ == "__main__":
    page, out, *section = sys.argv[1:]
    text = PICTURE.sub(coarse, Path(page).read_text())
    for name in section:
        text = text.replace("</head>", ALONE.format(name))
    Path(out).write_text(text)
