import pytest

from flows.outcome import ModelFacts
from synaug.cli.commands.run import registered_line


@pytest.mark.parametrize(
    ("alias", "now"),
    [
        ("champion", "is champion"),
        ("challenger", "is challenger"),
        ("previous", "was champion until"),
        (None, "has no alias any more"),
    ],
)
def test_what_the_model_is_now_comes_before_what_the_gate_said_then(alias, now):
    line = registered_line(ModelFacts(name="synaug-x", version="3", alias=alias), "vae", "Promoted: it is the first.")
    assert line.startswith(f"synaug-x version 3 (arm vae) {now}")
    assert line.endswith(". The gate: Promoted: it is the first.")
