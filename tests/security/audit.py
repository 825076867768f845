"""Asks for known vulnerabilities of the locked packages: `python audit.py LOCK`.

pip-audit is no package of this project: uv fetches it for the call. It ends well where it could look nothing up (an
index that knows no advisories), so its answer is read here. Exit code 0: no known vulnerability, or it cannot be
asked here, which is said; 1: there are some.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["ask", "verdict"]

TOOL = "pip-audit>=2.9,<3"
SECONDS = 600


def ask(lock: Path) -> tuple[dict[str, Any] | None, str]:
    """pip-audit's answer, or None and its last line."""
    uv = Path(sys.executable).with_name("uv")
    options = ("--require-hashes", "--disable-pip", "--progress-spinner", "off", "--format", "json")
    try:
        done = subprocess.run(
            [str(uv), "tool", "run", "--from", TOOL, "pip-audit", "-r", str(lock), *options],
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        answer: dict[str, Any] = json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, str(error)
    except ValueError:
        return None, (done.stderr.strip().splitlines() or ["no answer"])[-1]
    return answer, ""


def verdict(answer: dict[str, Any] | None, reason: str) -> tuple[int, list[str]]:
    """The exit code, and what to say."""
    if answer is None:
        return 0, [f"pip-audit could not be run here: {reason}"]
    packages = answer["dependencies"]
    skipped = [p for p in packages if "skip_reason" in p]
    bad = [p for p in packages if p.get("vulns")]
    lines = [
        f"{p['name']} {p['version']}: {v['id']}, mended in {', '.join(v['fix_versions']) or 'no version yet'}"
        for p in bad
        for v in p["vulns"]
    ]
    lines.append(
        f"{len(packages) - len(skipped)} of {len(packages)} packages looked up, {len(bad)} with vulnerabilities"
    )
    if skipped:
        lines.append(f"{len(skipped)} not looked up, such as {skipped[0]['name']}: {skipped[0]['skip_reason']}")
    return int(bool(bad)), lines


if __name__ == "__main__":
    code, said = verdict(*ask(Path(sys.argv[1])))
    sys.stdout.write("\n".join(said) + "\n")
    sys.exit(code)
