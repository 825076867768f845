"""The answer of a page or a service to a request that it does not serve."""

__all__ = ["RequestError"]


class RequestError(Exception):
    """A request that is not served, with its HTTP status and one line for the client."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status
