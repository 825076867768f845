"""Whether this process may use the Prefect server that it is told of, and which version that is."""

from synaug_core.errors import Reason, UserError

__all__ = ["server_version"]

_REFUSED = (401, 403)


def server_version() -> str:
    """The version of the server at PREFECT_API_URL.

    Raises:
        UserError: nobody answers there, or the server refuses these credentials.
    """
    import httpx
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        try:
            answer = client.request("GET", "/admin/version")  # what api_version asks, which would hide the status
            answer.raise_for_status()
        except httpx.HTTPStatusError as error:
            if error.response.status_code in _REFUSED:
                raise UserError("the server refuses these credentials", reason=Reason.NO_ACCESS) from error
            raise UserError(f"the server answers {error.response.status_code}") from error
        except httpx.HTTPError as error:
            raise UserError(f"no Prefect server answers ({type(error).__name__})") from error
        return str(answer.json())
