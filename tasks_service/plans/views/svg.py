"""A plan as a picture: steps in layers, one colour a kind, light and dark.

In: plan data of plan_json. Out: one SVG document without scripts, fonts or
references. Called by ``tasks plan -o svg``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from tasks_service.plans.views.layers import layered
from tasks_service.plans.views.text import headline, marks, summary

_BOX = (272, 64)
_LINE = 34
"""Characters of the line that says what a step does."""
_GAP = (28, 52)
_BEND = 16
_MARGIN = 28
_ICONS: Mapping[str, str] = {
    # A crate, a prompt and an arrow out of a tray, drawn in a 16 by 16 square.
    "build": "M8 1 15 4.5v7L8 15 1 11.5v-7zM1 4.5 8 8l7-3.5M8 8v7",
    "cmd": "M1.5 2.5h13v11h-13zM4 6l2.5 2L4 10M8 10.5h4",
    "push": "M8 10.5V2M4.5 5.5 8 2l3.5 3.5M1.5 9.5v4h13v-4",
}
_OTHER_ICON = "M8 1.5a6.5 6.5 0 1 0 .01 0"
_STYLE = """
text{font-family:system-ui,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
.back{fill:#fbfcfe;stroke:#c9d2df}
.box{fill:#fff;stroke-width:1.5}
.id{font-size:14px;font-weight:600;fill:#1b2430}
.what{font-size:11.5px;fill:#5a6675;font-family:ui-monospace,Menlo,Consolas,monospace}
.note{font-size:10.5px;fill:#5a6675}
.edge{fill:none;stroke:#8a97a8;stroke-width:1.6}
.tip{fill:#8a97a8}
.icon{fill:none;stroke-width:1.5;stroke-linejoin:round;stroke-linecap:round}
.k-build{stroke:#2563c9}.k-cmd{stroke:#1d7f4e}.k-push{stroke:#b25a12}.k-other{stroke:#6b4fb3}
.away .box{stroke-dasharray:5 4}
@media (prefers-color-scheme:dark){
.back{fill:#12171f;stroke:#2c3644}
.box{fill:#1b2330}
.id{fill:#e8edf4}
.what,.note{fill:#a3b0c0}
.edge{stroke:#70809a}
.tip{fill:#70809a}
.k-build{stroke:#6fa3ff}.k-cmd{stroke:#58c78f}.k-push{stroke:#f0a35c}.k-other{stroke:#b39bff}
}
""".strip()


def plan_svg(plan: Mapping[str, Any], title: str = "Plan") -> str:
    """Return the picture: first steps on top, arrows to what waits for them.

    A dashed box stays in the background. Every box has a tooltip with the
    whole text of its step.
    """
    steps = {step["id"]: step for step in plan["steps"]}
    graph = layered([(step["id"], step["needs"]) for step in plan["steps"]])
    places, width, height = _places(graph.layers)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">'
        ),
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="back" x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="12"/>',
    ]
    parts += [_edge(chain, places) for chain in graph.chains]
    parts += [
        _box(steps[name], places[name]) for layer in graph.layers for name in layer if name in steps
    ]
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _places(layers: Sequence[Sequence[str]]) -> tuple[dict[str, tuple[float, float]], int, int]:
    """Return the top left corner of every node, and the picture's size."""

    def breadth(name: str) -> int:
        return _BEND if name.startswith("\0") else _BOX[0]

    widths = [sum(breadth(name) for name in layer) + _GAP[0] * (len(layer) - 1) for layer in layers]
    whole = max(widths, default=_BOX[0])
    places: dict[str, tuple[float, float]] = {}
    for level, layer in enumerate(layers):
        x = _MARGIN + (whole - widths[level]) / 2
        for name in layer:
            places[name] = (x, _MARGIN + level * (_BOX[1] + _GAP[1]))
            x += breadth(name) + _GAP[0]
    height = 2 * _MARGIN + len(layers) * (_BOX[1] + _GAP[1]) - _GAP[1]
    return places, round(whole + 2 * _MARGIN), round(max(height, 2 * _MARGIN + _BOX[1]))


def _edge(chain: Sequence[str], places: Mapping[str, tuple[float, float]]) -> str:
    x, y = places[chain[0]]
    x, y = x + _BOX[0] / 2, y + _BOX[1]
    path = f"M{x:g} {y:g}"
    for name in chain[1:]:
        bend = name.startswith("\0")
        left, top = places[name]
        to_x = left + (_BEND if bend else _BOX[0]) / 2
        to_y = top if bend else top - 7
        middle = (y + to_y) / 2
        path += f"C{x:g} {middle:g} {to_x:g} {middle:g} {to_x:g} {to_y:g}"
        x, y = to_x, to_y
        if bend:
            y += _BOX[1]
            path += f"V{y:g}"
    return (
        f'<path class="edge" d="{path}"/><path class="tip" d="M{x - 4.5:g} {y - 1:g}h9l-4.5 8z"/>'
    )


def _box(step: Mapping[str, Any], place: tuple[float, float]) -> str:
    x, y = place
    kind = step["kind"] if step["kind"] in _ICONS else "other"
    notes = " · ".join([str(step["kind"]), *marks(step)])
    group = "away" if step.get("detach") else "step"
    name = str(step["id"])
    short = name if len(name) <= 26 else name[:25] + "…"
    does = headline(step, _LINE)
    fit = notes if len(notes) <= 46 else notes[:45] + "…"
    return "".join(
        [
            (
                f'<g class="{group}"><title>{escape(name)} — {escape(step["kind"])}: '
                f"{escape(summary(step, 2000))}</title>"
            ),
            (
                f'<rect class="box k-{kind}" x="{x:g}" y="{y:g}" width="{_BOX[0]}" '
                f'height="{_BOX[1]}" rx="9"/>'
            ),
            (
                f'<path class="icon k-{kind}" transform="translate({x + 14:g} {y + 9:g})" '
                f'd="{_ICONS.get(kind, _OTHER_ICON)}"/>'
            ),
            f'<text class="id" x="{x + 40:g}" y="{y + 22:g}">{escape(short)}</text>',
            f'<text class="what" x="{x + 14:g}" y="{y + 40:g}">{escape(does)}</text>',
            f'<text class="note" x="{x + 14:g}" y="{y + 55:g}">{escape(fit)}</text>',
            "</g>",
        ]
    )
