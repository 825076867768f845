"""The tables of docs/results.md, measured anew: `make results`, or `python -m benchmarks.results draws-pbc` for one.

Each takes less than an hour on two cores; the table of the mechanics is `python -m benchmarks.fair_fight`.

Each is `synaug run examples/<name>.yaml` twice: around the small CNN with the settings of the example, and around the
classifier that the run chooses, on images as large as it takes them. What `python -m benchmarks.practitioner` has
measured on the same divisions stands below. What an earlier call finished is found again. The data are looked for where
SYNAUG_DATA says, else in shared/data beside the repository.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import practitioner
from synaug_core.evaluate.results import by_rarity
from synaug_core.metrics import METRICS
from synaug_core.names import slugs

_ROOT = Path(__file__).resolve().parent.parent
_PAGE = _ROOT / "docs" / "results.md"
_SOURCES = {
    "evidence-wbc": ("wbc", "wbc"),
    "draws-breast": ("breastmnist.npz", "breast-draws"),
    "draws-malaria": ("large/malaria_cells.npz", "malaria"),
    "draws-pbc": ("large/pbc_8classes.parquet", "pbc"),
    "caltech37": ("caltech37", "caltech37"),
    "retinamnist": ("retinamnist.npz", "retina"),
    "null-check": ("wbc", ""),
}
"""Where the images of an example are, and the name of its divisions in `benchmarks.practitioner`."""
_SMALL, _CHOSEN = "", "-chosen"
_CLASSIFIERS = {
    _SMALL: ["--set", "classifier.backbone=small_cnn"],
    _CHOSEN: ["--set", "classifier.backbone=auto", "--set", "data.image_size=null"],
}
"""Ending of the run's name -> what is set beside the example."""
_NOTES = 3
"""Most notes shown of a run."""
_SWEEPS = ("null-check",)
_METRICS = ("balanced_accuracy", "macro_auc", "accuracy")
_PEER = _ROOT / ".synaug" / "practitioner"


def main() -> None:
    """Run what is named, and put the tables between their marks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(_SOURCES), choices=[*_SOURCES, list(_SOURCES)])
    parser.add_argument("--outcomes", type=Path, default=_ROOT / ".synaug" / "results", help="where the JSON files go")
    parser.add_argument(
        "--classifiers",
        nargs="*",
        default=[_SMALL, _CHOSEN],
        type=lambda word: {"small": _SMALL, "chosen": _CHOSEN}[word],
    )
    parser.add_argument("--tables-only", action="store_true", help="run nothing: use the JSON files that are there")
    options = parser.parse_args()
    options.outcomes.mkdir(parents=True, exist_ok=True)
    for name in options.names:
        endings = (_SMALL,) if name in _SWEEPS else options.classifiers
        if not options.tables_only:
            for ending in endings:
                _measure(name, ending, options.outcomes)
        paths = {ending: options.outcomes / f"{name}{ending}.json" for ending in (_SMALL, _CHOSEN)}
        outcomes = {e: json.loads(path.read_text(encoding="utf-8")) for e, path in paths.items() if path.exists()}
        _insert(name, _sweep(outcomes[_SMALL]["result"]) if name in _SWEEPS else _comparison(name, outcomes))


def _measure(name: str, ending: str, folder: Path) -> None:
    data = Path(os.environ.get("SYNAUG_DATA", _ROOT.parent / "shared" / "data")) / _SOURCES[name][0]
    is_sweep = name in _SWEEPS
    command = [sys.executable, "-c", "from synaug.cli.main import run_app; run_app()", "sweep" if is_sweep else "run"]
    arguments = [
        f"examples/{name}.yaml",
        "--set",
        f"data.source={data}",
        "--json",
        str(folder / f"{name}{ending}.json"),
    ]
    if not is_sweep:
        arguments += [*_CLASSIFIERS[ending], "--set", f"name={name}{ending}"]
    subprocess.run([*command, *arguments], check=True, cwd=_ROOT)


def _comparison(name: str, outcomes: Mapping[str, dict[str, Any]]) -> str:
    """The arms around each classifier and the practitioner's script in one table; what is concluded; the contrasts."""
    first = next(iter(outcomes.values()))
    columns = _columns(first)
    lines = [_row(["classifier", "arm", *columns.values()]), "|---" * (len(columns) + 2) + "|"]
    for ending, outcome in outcomes.items():
        label = "small CNN" if ending == _SMALL else _chosen_title(outcome)
        lines += [
            _row([label, f"`{arm}`", *(_cell(metrics.get(m)) for m in columns)])
            for arm, metrics in outcome["arms"].items()
        ]
    lines += _peer_rows(_SOURCES[name][1], columns)
    for ending, outcome in outcomes.items():
        lines += ["", f"**{'Small CNN' if ending == _SMALL else 'Chosen classifier'}.** {_conclusion(outcome)}"]
        lines += ["", _contrasts(outcome)]
    return "\n".join([*lines, "", _images(first)])


def _chosen_title(outcome: dict[str, Any]) -> str:
    """What the run says that it chose."""
    start = "the classifier of all arms is "
    note = next((note for note in outcome["notes"] if note.startswith(start)), "")
    return note.removeprefix(start).partition(",")[0] or "chosen in each division"


def _peer_rows(name: str, columns: Mapping[str, str]) -> list[str]:
    """What a practitioner's script came to on the same divisions, where it was measured."""
    rows = []
    for way in practitioner.WAYS:
        results = practitioner.read_results(name, way, _PEER)
        if results:
            keys = ["rarest_recall" if "/class/" in column else column.removeprefix("test/") for column in columns]
            cells = [practitioner.show_mean([r[k] for r in results]) if k in results[0] else "" for k in keys]
            rows.append(_row([f"timm and scikit-learn, {way.replace('_', '-')}", f"{len(results)} trainings", *cells]))
    return rows


def _contrasts(outcome: dict[str, Any]) -> str:
    """Every synthetic arm against its hardest control, the deciding contrast first."""
    lines = [
        "| comparison | metric | difference, points | p | p after Holm |",
        "|---|---|---|---|---|",
    ]
    decides = (outcome["contrasts"][0]["arm"], outcome["contrasts"][0]["metric"])
    rows = {(c["arm"], c["metric"]): c for c in outcome["contrasts"] if c["metric"] == decides[1]}
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


def _columns(outcome: dict[str, Any]) -> dict[str, str]:
    """Metric -> title: recall of the rarest class first."""
    rarest, recall = _rarest(outcome)
    return {recall: f"recall of {rarest}"} | {f"test/{m}": METRICS[m].title for m in _METRICS}


def _conclusion(outcome: dict[str, Any]) -> str:
    """The verdict, the promotion and what has to be known of them."""
    notes = outcome.get("notes", ())
    more = [f"And {len(notes) - _NOTES} more notes."] if len(notes) > _NOTES else []
    promotion = [outcome["promotion"]] if outcome["promotion"] else []
    return " ".join([outcome["sentence"], *promotion, *(f"Note: {note}." for note in notes[:_NOTES]), *more]) + _time(
        outcome
    )


def _images(outcome: dict[str, Any]) -> str:
    train, test = outcome["dataset"]["train"], outcome["dataset"]["test"]
    return f"Training images: {_counts(train)}; test images: {_counts(test)}."


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
