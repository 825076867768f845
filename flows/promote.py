"""Promotion by hand, as a flow."""

from prefect import flow

from flows import process
from tasks.promotion import make_champion

__all__ = ["promote"]


@flow(name="promote", flow_run_name=process.dated("{name} {version}"), persist_result=False)
def promote(name: str, version: str, why: str = "", expected: str = "*") -> str:
    """Make a version the champion; the one before it becomes `previous`.

    Args:
        name: registered model, such as synaug-digits.
        version: its number, such as 3.
        why: reason for the history.
        expected: the version that has to be champion now; *: whichever is.

    Returns:
        One line that says what is champion.

    Raises:
        UserError: there is no such model or version.
        ChampionChangedError: another version became champion meanwhile.
    """
    return f"{name}: version {make_champion(name, version, why, expected)} is champion"
