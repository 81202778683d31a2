"""What the plots of jobs/ share: matplotlib and its look, colours, and HTML pages that load nothing from elsewhere."""

import base64
import html
import os
import sys

try:
    import matplotlib
except ImportError:  # the packages are the system's; an own Python may stand before it in the path
    SYSTEM = "/usr/bin/python3"
    if sys.executable != SYSTEM and os.access(SYSTEM, os.X_OK) and not os.environ.get("DIVS_SYSTEM_PYTHON"):
        os.environ["DIVS_SYSTEM_PYTHON"] = "1"
        os.execv(SYSTEM, [SYSTEM, *sys.argv])
    sys.exit(f"{os.path.basename(sys.argv[0])}: matplotlib is missing (package python3-matplotlib)")

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

# Distinguishable with colour blindness (Okabe, Ito 2008).
BLUE, ORANGE, GREEN, PINK, YELLOW, SKY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"
GREY = "#999999"

plt.rcParams.update({
    "figure.dpi": 110, "savefig.dpi": 110, "savefig.bbox": "tight", "font.size": 10.5, "axes.grid": True,
    "grid.color": "#e4e4e4", "grid.linewidth": 0.8, "axes.axisbelow": True, "axes.spines.top": False,
    "axes.spines.right": False, "axes.edgecolor": "#888888", "axes.titlelocation": "left", "axes.titleweight": "bold",
    "legend.frameon": False, "lines.linewidth": 1.8, "svg.fonttype": "none",
})

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 1000px; margin: 2em auto; padding: 0 1em; }}
figure {{ margin: 0; }} img {{ max-width: 100%; }} .wide {{ overflow-x: auto; }} pre {{ overflow-x: auto; background: #f6f6f6;
padding: 1em; }} table {{ border-collapse: collapse; }} th {{ text-align: left; vertical-align: bottom; }}
td, th {{ padding: .2em .8em .2em 0; }} tr {{ border-bottom: 1px solid #e4e4e4; }} td {{ vertical-align: top; }}</style></head>
<body>
<h1>{title}</h1>
{body}
</body></html>
"""


def page(title, body):
    return PAGE.format(title=html.escape(title), body=body)


def figure_html(title, file):
    """A picture (PNG) with its heading, inside the page."""
    data = base64.b64encode(file.read_bytes()).decode()
    name = html.escape(title)
    return f'<h2>{name}</h2>\n<figure><img alt="{name}" src="data:image/png;base64,{data}"></figure>\n'


def save(figure, out, name):
    """OUT/NAME.png and OUT/NAME.svg; gives the first."""
    figure.tight_layout()
    file = out / f"{name}.png"
    figure.savefig(file)
    figure.savefig(file.with_suffix(".svg"), metadata={"Date": None})
    plt.close(figure)
    return file


def write_whole(file, text):
    """Either the old file or the whole new one is there."""
    temporary = file.with_name(f".{file.name}.tmp-plot")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)
