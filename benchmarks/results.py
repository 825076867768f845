"""The table of runs in docs/results.md, measured anew: `make results`, or `python -m benchmarks.results draws-pbc`.

Each takes less than an hour on two cores; the tables of the mechanics are `python -m benchmarks.fair_fight`.

Each is `synaug run examples/<name>.yaml` twice: around the small CNN with the settings of the example, and around the
classifier that the run chooses, on images as large as it takes them; without quality, robustness and maps, which no row
shows. What `python -m benchmarks.practitioner` has measured on the same divisions stands beside them. What an earlier
call finished is found again. The data are looked for where SYNAUG_DATA says, else in shared/data beside the repository.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import practitioner
from synaug_core.evaluate.results import by_rarity
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
_UNSHOWN = ["--set", "quality.enabled=false", "--set", "robustness.enabled=false", "--set", "explanation.enabled=false"]
_ROOMY = 8
"""More classes are counted in all."""
_NOTES = 2
"""Most notes shown of a run."""
_SWEEPS = ("null-check",)
_ARMS = ("original", "control", "combined", "oracle")
"""Arms with a column of their own."""
_PEER = _ROOT / ".synaug" / "practitioner"


def main() -> None:
    """Run what is named, and put the table between its marks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(_SOURCES), choices=[*_SOURCES, list(_SOURCES)])
    parser.add_argument("--outcomes", type=Path, default=_ROOT / ".synaug" / "results", help="where the JSON files go")
    parser.add_argument("--peer", type=Path, default=_PEER, help="where the practitioner's results are")
    parser.add_argument(
        "--classifiers",
        nargs="*",
        default=[_SMALL, _CHOSEN],
        type=lambda word: {"small": _SMALL, "chosen": _CHOSEN}[word],
    )
    parser.add_argument("--tables-only", action="store_true", help="run nothing: use the JSON files that are there")
    options = parser.parse_args()
    options.outcomes.mkdir(parents=True, exist_ok=True)
    if not options.tables_only:
        for name in options.names:
            for ending in (_SMALL,) if name in _SWEEPS else options.classifiers:
                _measure(name, ending, options.outcomes)
    _insert("runs", "\n".join(_runs(options.outcomes, options.peer)))
    if sweeps := [text for name in _SWEEPS if (text := _sweep(name, options.outcomes))]:
        _insert("null-check", "\n\n".join(sweeps))


def _measure(name: str, ending: str, folder: Path) -> None:
    data = Path(os.environ.get("SYNAUG_DATA", _ROOT.parent / "shared" / "data")) / _SOURCES[name][0]
    is_sweep = name in _SWEEPS
    command = [sys.executable, "-c", "from synaug.cli.main import run_app; run_app()", "sweep" if is_sweep else "run"]
    outcome = str(folder / f"{name}{ending}.json")
    arguments = [f"examples/{name}.yaml", "--set", f"data.source={data}", "--json", outcome]
    if not is_sweep:
        arguments += [*_CLASSIFIERS[ending], *_UNSHOWN, "--set", f"name={name}{ending}"]
    subprocess.run([*command, *arguments], check=True, cwd=_ROOT)


def _read(folder: Path, name: str, ending: str) -> dict[str, Any] | None:
    path = folder / f"{name}{ending}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _runs(folder: Path, peer: Path) -> Iterator[str]:
    """A row for each run and each of the practitioner's scripts; then what each run concluded."""
    runs = [
        (name, ending, outcome)
        for name in _SOURCES
        for ending in _CLASSIFIERS
        if name not in _SWEEPS and (outcome := _read(folder, name, ending)) is not None
    ]
    heads = ["run", "classifier", *(f"`{arm}`" for arm in _ARMS), "best of the other arms", "deciding contrast", "p"]
    yield _row(heads)
    yield "|---" * len(heads) + "|"
    for name in dict.fromkeys(name for name, _, _ in runs):
        for _, ending, outcome in (run for run in runs if run[0] == name):
            yield _run_row(name, "small CNN" if ending == _SMALL else _chosen_title(outcome), outcome)
        yield from _peer_rows(name, len(heads), peer)
    yield ""
    for name, ending, outcome in runs:
        title = f"{name}, {'small CNN' if ending == _SMALL else 'chosen classifier'}"
        yield f"- **{title}** ({_images(outcome)}). {_conclusion(outcome)}"


def _run_row(name: str, classifier: str, outcome: dict[str, Any]) -> str:
    arms, recall = outcome["arms"], _rare_recall(outcome)
    further = [arm for arm in arms if arm not in _ARMS]
    best = max(further, key=lambda arm: arms[arm]["test/balanced_accuracy"]["mean"], default=None)
    contrast = outcome["contrasts"][0]
    return _row(
        [
            f"`{name}`",
            classifier,
            *(_figures(arms[arm], recall) if arm in arms else "" for arm in _ARMS),
            "" if best is None else f"`{best}` {_figures(arms[best], recall)}",
            _contrast(contrast),
            _p(contrast["p_value"]),
        ]
    )


def _figures(metrics: Mapping[str, dict[str, float]], recall: str) -> str:
    """Balanced accuracy, AUC and the recall of the rarest class, in percent."""
    means = [metrics.get(m) for m in ("test/balanced_accuracy", "test/macro_auc", recall)]
    return ", ".join("undefined" if m is None else f"{100 * m['mean']:.1f}" for m in means)


def _chosen_title(outcome: dict[str, Any]) -> str:
    """What the run says that it chose."""
    start = "the classifier of all arms is "
    note = next((note for note in outcome["notes"] if note.startswith(start)), "")
    return note.removeprefix(start).partition(",")[0] or "chosen in each division"


def _peer_rows(name: str, columns: int, peer: Path) -> Iterator[str]:
    """What a practitioner's script came to on the same divisions, where it was measured."""
    for way in practitioner.WAYS:
        results = practitioner.read_results(_SOURCES[name][1], way, peer)
        if results:
            keys = [k for k in ("balanced_accuracy", "macro_auc", "rarest_recall") if k in results[0]]
            figures = ", ".join(practitioner.show_mean([r[k] for r in results]) for k in keys)
            title = f"timm and scikit-learn, {way.replace('_', '-')}, {len(results)} trainings"
            yield _row([f"`{name}`", title, figures, *[""] * (columns - 3)])


def _conclusion(outcome: dict[str, Any]) -> str:
    """The verdict, the promotion and what has to be known of them."""
    promotion = [outcome["promotion"]] if outcome["promotion"] else []
    notes = [f"Note: {note}." for note in outcome.get("notes", ())[:_NOTES]]
    controls = [
        f"Positive control: {_contrast(c)}, p = {_p(c['p_value'])}."
        for c in outcome.get("positive_control", ())
        if c["metric"] == "balanced_accuracy"
    ]
    return " ".join([outcome["sentence"], *controls, *promotion, *notes]) + _time(outcome)


def _sweep(name: str, folder: Path) -> str:
    """How many combinations show a gain, and how far from nothing their deciding contrasts are."""
    outcome = _read(folder, name, _SMALL)
    if outcome is None:
        return ""
    cells = [c for c in outcome["result"]["cells"] if c["verdict"] is not None]
    gains = sum(c["verdict"] == "gain" for c in cells)
    differences = [100 * c["contrast"]["difference"]["mean"] for c in cells if c["contrast"] is not None]
    p_values = [c["contrast"]["p_value"] for c in cells if c["contrast"] is not None]
    return (
        f"{gains} of {len(cells)} retrainings with {len(cells[0]['arms'])} arms claim a gain. The deciding contrasts "
        f"are {_span(differences)} points of balanced accuracy; their smallest p is {_p(min(p_values))}, and "
        f"{sum(p < 0.05 for p in p_values)} of {len(p_values)} are below .05, whatever their sign."
    )


def _span(values: Sequence[float]) -> str:
    return f"{min(values):+.1f} to {max(values):+.1f}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _contrast(contrast: dict[str, Any]) -> str:
    d = contrast["difference"]
    amount = f"{100 * d['mean']:+.1f} ({100 * d['low']:+.1f} to {100 * d['high']:+.1f})"
    return f"{contrast['arm']} − {contrast['against']} {amount}"


def _p(value: float) -> str:
    return "< .001" if value < 0.001 else f"{value:.3f}".lstrip("0") if value < 1 else "1"


def _rare_recall(outcome: dict[str, Any]) -> str:
    """The metric of the recall of the rarest class with test images."""
    train, test = outcome["dataset"]["train"], outcome["dataset"]["test"]
    rarest = by_rarity([c for c, n in test.items() if n], train, test)[0]
    return f"test/class/{slugs(train)[rarest]}/recall"


def _images(outcome: dict[str, Any]) -> str:
    train, test = outcome["dataset"]["train"], outcome["dataset"]["test"]
    if len(train) > _ROOMY:
        return f"{len(train)} classes of {min(train.values())} to {max(train.values())} training images"
    return f"training images: {_counts(train)}; test images: {_counts(test)}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in counts.items())


def _time(outcome: dict[str, Any]) -> str:
    """How long it took, where nothing of it was reused."""
    if outcome["cached_steps"]:
        return ""
    return f" {outcome['seconds']['total'] / 60:.0f} minutes, with other work on the machine."


def _insert(name: str, text: str) -> None:
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    page = _PAGE.read_text(encoding="utf-8")
    marked_part = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    _PAGE.write_text(marked_part.sub(lambda _: f"{begin}\n{text}\n{end}", page), encoding="utf-8")


if __name__ == "__main__":
    main()
