"""Pages in the user's browser, where there is one with windows."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["open_pages"]


def open_pages(urls: Sequence[str]) -> None:
    """Open pages in a graphical browser; one that runs in the terminal would take it over."""
    import webbrowser

    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return
    if isinstance(browser, webbrowser.GenericBrowser) and not isinstance(browser, webbrowser.BackgroundBrowser):
        return
    for url in urls:
        browser.open(url)
