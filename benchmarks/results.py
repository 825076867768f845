"""The tables of docs/results.md, measured anew: `make results`, or `python -m benchmarks.results draws-pbc` for one.

Each takes less than an hour on two cores; the table of the mechanics is `python -m benchmarks.fair_fight`.

Each is `synaug run examples/<name>.yaml`; what an earlier call finished is found again. The data are looked for where
SYNAUG_DATA says, else in shared/data beside the repository.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from synaug_core.evaluate.results import by_rarity
from synaug_core.metrics import METRICS
from synaug_core.names import slugs

_ROOT = Path(__file__).resolve().parent.parent
_PAGE = _ROOT / "docs" / "results.md"
_SOURCES = {
    "evidence-wbc": "wbc",
    "draws-breast": "breastmnist.npz",
    "draws-malaria": "large/malaria_cells.npz",
    "draws-pbc": "large/pbc_8classes.parquet",
    "caltech37": "caltech37",
    "retinamnist": "retinamnist.npz",
    "null-check": "wbc",
}
_NOTES = 3
"""Most notes shown of a run."""
_SWEEPS = ("null-check",)
_METRICS = ("balanced_accuracy", "macro_auc", "accuracy", "macro_f1")


def main() -> None:
    """Run what is named, and put the tables between their marks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(_SOURCES), choices=[*_SOURCES, list(_SOURCES)])
    parser.add_argument("--outcomes", type=Path, default=_ROOT / ".synaug" / "results", help="where the JSON files go")
    parser.add_argument("--tables-only", action="store_true", help="run nothing: use the JSON files that are there")
    options = parser.parse_args()
    options.outcomes.mkdir(parents=True, exist_ok=True)
    for name in options.names:
        target = options.outcomes / f"{name}.json"
        if not options.tables_only:
            _measure(name, target)
        outcome = json.loads(target.read_text(encoding="utf-8"))
        _insert(name, _shown(name, outcome))


def _measure(name: str, target: Path) -> None:
    data = Path(os.environ.get("SYNAUG_DATA", _ROOT.parent / "shared" / "data")) / _SOURCES[name]
    kind = "sweep" if name in _SWEEPS else "run"
    command = [sys.executable, "-c", "from synaug.cli.main import run_app; run_app()", kind]
    arguments = [f"examples/{name}.yaml", "--set", f"data.source={data}", "--json", str(target)]
    subprocess.run([*command, *arguments], check=True, cwd=_ROOT)


def _shown(name: str, outcome: dict[str, Any]) -> str:
    if name in _SWEEPS:
        return _sweep(outcome["result"])
    return f"{_table(outcome)}\n\n{_contrasts(outcome)}"


def _contrasts(outcome: dict[str, Any]) -> str:
    """Every synthetic arm against its hardest control, the deciding contrast first."""
    lines = [
        "| comparison | metric | difference, points | p | p after Holm |",
        "|---|---|---|---|---|",
    ]
    decides = (outcome["contrasts"][0]["arm"], outcome["contrasts"][0]["metric"])
    rows = {(c["arm"], c["metric"]): c for c in outcome["contrasts"]}  # of two alike the later one knows Holm's p
    for key, c in rows.items():
        label = f"{c['arm']} − {c['against']}"
        adjusted_p = _p(c["p_adjusted"]) if c["metric"] == decides[1] else ""
        lines.append(
            f"| {f'**{label}**' if key == decides else label} | {c['metric'].replace('_', ' ')} "
            f"| {_amount(c['difference'])} | {_p(c['p_value'])} | {adjusted_p} |"
        )
    return "\n".join([*lines, "", "Bold: the contrast that was declared before the run, and decides."])


def _amount(d: dict[str, float]) -> str:
    return f"{100 * d['mean']:+.1f} ({100 * d['low']:+.1f} to {100 * d['high']:+.1f})"


def _p(value: float) -> str:
    return "< .001" if value < 0.001 else f"{value:.3f}".lstrip("0") if value < 1 else "1"


def _sweep(result: dict[str, Any]) -> str:
    """How many combinations show a gain, and what each came to."""
    cells = [c for c in result["cells"] if c["verdict"] is not None]
    gains = sum(c["verdict"] == "gain" for c in cells)
    arms = list(dict.fromkeys(arm for c in cells for arm in c["arms"]))
    heads = [", ".join(result["varied"]), *(f"`{arm}`" for arm in arms), "difference, points", "p", "verdict"]
    lines = [
        f"{gains} of {len(cells)} retrainings claim a gain. Balanced accuracy of each arm, and the deciding contrast:",
        "",
        _row(heads),
        "|---" * len(heads) + "|",
    ]
    for c in cells:
        scores = [_cell(c["arms"].get(arm, {}).get("balanced_accuracy")) for arm in arms]
        contrast = c["contrast"]
        label = ["", ""] if contrast is None else [_contrast(contrast), _p(contrast["p_value"])]
        lines.append(_row([", ".join(c["labels"].values()), *scores, *label, c["verdict"]]))
    return "\n".join(lines)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _contrast(contrast: dict[str, Any]) -> str:
    return f"{contrast['arm']} − {contrast['against']} {_amount(contrast['difference'])}"


def _rarest(outcome: dict[str, Any]) -> tuple[str, str]:
    """The rarest class with test images, and the metric of its recall."""
    train, test = outcome["dataset"]["train"], outcome["dataset"]["test"]
    rarest = by_rarity([c for c, n in test.items() if n], train, test)[0]
    return rarest, f"test/class/{slugs(train)[rarest]}/recall"


def _table(outcome: dict[str, Any]) -> str:
    """One row an arm: recall of the rarest class, then the metrics, each in percent with its interval."""
    rarest, recall = _rarest(outcome)
    columns = {recall: f"recall of {rarest}"} | {f"test/{m}": METRICS[m].title for m in _METRICS}
    lines = [
        "| arm | " + " | ".join(columns.values()) + " |",
        "|---" * (len(columns) + 1) + "|",
        *(
            f"| `{arm}` | " + " | ".join(_cell(metrics.get(m)) for m in columns) + " |"
            for arm, metrics in outcome["arms"].items()
        ),
        "",
        *_closing(outcome),
    ]
    return "\n".join(lines)


def _closing(outcome: dict[str, Any]) -> list[str]:
    """What it means, and from how many images."""
    train, test = outcome["dataset"]["train"], outcome["dataset"]["test"]
    notes = outcome.get("notes", ())
    return [
        outcome["sentence"],
        *([outcome["promotion"]] if outcome["promotion"] else []),
        *[f"Note: {note}." for note in notes[:_NOTES]],
        *([f"And {len(notes) - _NOTES} more notes of this kind."] if len(notes) > _NOTES else []),
        "",
        f"Training images: {_counts(train)}; test images: {_counts(test)}." + _time(outcome),
    ]


def _time(outcome: dict[str, Any]) -> str:
    """How long it took, where nothing of it was reused."""
    if outcome["cached_steps"]:
        return ""
    return f" {outcome['seconds']['total'] / 60:.0f} minutes, with other work on the machine."


def _cell(value: dict[str, float] | None) -> str:
    if value is None:
        return "undefined"
    return f"{100 * value['mean']:.1f} ({100 * value['low']:.1f} to {100 * value['high']:.1f})"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in counts.items())


def _insert(name: str, table: str) -> None:
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    page = _PAGE.read_text(encoding="utf-8")
    if begin not in page:
        page = f"{page.rstrip()}\n\n## {name}\n\n`synaug run examples/{name}.yaml`\n\n{begin}\n{end}\n"
    marked_part = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    _PAGE.write_text(marked_part.sub(lambda _: f"{begin}\n{table}\n{end}", page), encoding="utf-8")


if __name__ == "__main__":
    main()
