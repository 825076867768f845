"""Back to the champion before, as a flow."""

from prefect import flow

from flows import process
from tasks.promotion import go_back

__all__ = ["rollback"]


@flow(name="rollback", flow_run_name=process.dated("{name}"), persist_result=False)
def rollback(name: str, why: str = "", expected: str = "*") -> str:
    """Make the previous champion the champion again.

    Args:
        name: registered model, such as synaug-digits.
        why: reason for the history.
        expected: the version that has to be champion now; *: whichever is.

    Returns:
        One line that says what is champion.

    Raises:
        UserError: there is no such model, or no previous champion.
        ChampionChangedError: another version became champion meanwhile.
    """
    return f"{name}: version {go_back(name, why, expected)} is champion again"
