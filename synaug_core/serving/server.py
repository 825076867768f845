"""The prediction service: one model's alias behind HTTP, until it is stopped."""

import contextlib
import socket
from collections.abc import Callable

from synaug_core.errors import UserError
from synaug_core.services.settings import Settings
from synaug_core.serving.options import ServiceOptions

__all__ = ["serve"]

_CONNECTIONS = 256
_GRACE = 10
_WAITING = 128


def serve(
    settings: Settings,
    options: ServiceOptions,
    *,
    announce: Callable[[str], None] = lambda line: None,
    ready: Callable[[str], None] = lambda url: None,
) -> None:
    """Answer requests until SIGINT or SIGTERM; requests under way are finished first.

    Args:
        settings: where MLflow is, and where predictions are kept.
        options: model, address, limits, log.
        announce: called with a line for each change: which version is served, or why none is.
        ready: told the address once it is listened at.

    Raises:
        UserError: the address cannot be used, or there is no such device.
    """
    import uvicorn

    from synaug_core.devices import resolve
    from synaug_core.serving import app, model
    from synaug_core.serving.log import PredictionLog, log_folder

    resolve(options.device)
    with contextlib.closing(_listening(options.host, options.port)) as listener:
        holder = model.Holder(
            settings, options.model, options.alias, device=options.device, poll=options.poll, announce=announce
        )
        log = PredictionLog(log_folder(settings, options.model), options.log, options.log_megabytes)
        service = app.Service(options, holder, log)
        server = uvicorn.Server(
            uvicorn.Config(
                service.app,
                access_log=False,
                date_header=True,
                limit_concurrency=_CONNECTIONS,
                log_config=None,
                server_header=False,
                timeout_graceful_shutdown=_GRACE,
                ws="none",
            )
        )
        log.start()
        holder.start()
        try:
            host = f"[{options.host}]" if ":" in options.host else options.host
            ready(f"http://{host}:{listener.getsockname()[1]}/")
            with contextlib.suppress(KeyboardInterrupt):  # which it raises again once it has ended in order
                server.run(sockets=[listener])
        finally:
            holder.stop()
            log.stop()


def _listening(host: str, port: int) -> socket.socket:
    try:
        addresses = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = addresses[0]
        dual_stack = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
        return socket.create_server(address, family=family, backlog=_WAITING, dualstack_ipv6=dual_stack)
    except OSError as error:
        reason = (error.strerror or "unknown reason").partition(" (while ")[0].lower()
        raise UserError(f"--host {host} --port {port}: cannot be listened at ({reason})") from error
