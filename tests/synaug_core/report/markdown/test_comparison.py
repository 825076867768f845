"""A comparison as Markdown: it says what page and text say, and nothing in it is read as markup."""

import pytest

from synaug_core.report.answer import Answer, SyntheticCounts
from synaug_core.report.markdown.comparison import comparison_markdown, in_markdown, table
from synaug_core.report.words import percent

SKILLS = {"original": 1.0, "control": 1.6, "combined": 1.5}


@pytest.fixture(scope="module")
def text(judged):
    image_counts = {"combined": SyntheticCounts({"rare": 101}, {"rare": 33})}
    links = {"The report": "http://127.0.0.1:5000/#/x"}
    return comparison_markdown(
        judged(SKILLS, ("original", "control")), name="w|b|c", image_counts=image_counts, model="v1.", links=links
    )


def test_it_says_the_answer_the_arms_and_the_classes(text, judged):
    c = judged(SKILLS, ("original", "control"))
    answer = Answer.from_comparison(c)
    assert text.startswith("## w\\|b\\|c: did synthetic images help?\n\n**No gain shown:** combined is ")
    plain = text.replace("\\", "")
    for said in (answer.rare, *answer.advice):
        assert " ".join(said.split()) in plain
    assert "33 of 101 planned synthetic images of rare passed" in text
    value = c.arms["control"].metrics["balanced_accuracy"]
    assert f"{percent(value.mean)} ({percent(value.low)} – {percent(value.high)})" in text
    assert "| class | training | test | recall, control | recall, combined |" in text
    assert text.endswith("- [The report](http://127.0.0.1:5000/#/x)\n")


def test_every_row_of_a_table_has_as_many_cells_as_its_head(text):
    tables = [[line for line in part.splitlines() if line.startswith("|")] for part in text.split("\n\n")]
    for lines in filter(None, tables):
        assert len({line.replace("\\|", "").count("|") for line in lines}) == 1


def test_names_are_no_markup():
    assert in_markdown("<b>*x*</b> [a](b) `c`\n# d") == "\\<b\\>\\*x\\*\\</b\\> \\[a\\](b) \\`c\\` \\# d"
    assert in_markdown("") == ""
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| :-- | --: |\n| 1 | 2 |"
