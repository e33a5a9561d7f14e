"""A bundle's decisions, answered over HTTP."""

from __future__ import annotations

import argparse
import contextlib
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from heat_core.messages import error_text

from .command import Command
from .options import AddOption, add_device
from .shared import device_of, network_file, require

if TYPE_CHECKING:
    from heat_core.bundles import Bundle
    from heat_core.judge import Judge

LAST_PORT = 65_535
CONNECTIONS = 64  # at a time; more are told that the service is busy
SECONDS_TO_END = 30  # for requests that are being answered when the service is to end


def _serve_options(add: AddOption) -> None:
    add("bundle", metavar="BUNDLE", type=Path)
    host = "the address that it listens on; 127.0.0.1 is for this machine alone"
    add("--host", default="127.0.0.1", help=host)
    add("--port", type=int, default=8000, help="8000 if not given; 0 for any that is free")
    add_device(add)
    images = "take images, too, and read them as those of this pack, of which the bundle was made"
    add("--images", metavar="PACK", type=Path, help=images)
    weights = "the network of --images; PACK.classifier.safetensors if not given"
    add("--weights", type=Path, help=weights)
    add("--max-rows", type=int, default=4096, help="of a request (4096)")
    add("--max-mb", type=int, default=16, help="of a request's body (16)")


def serve(options: argparse.Namespace) -> None:
    """Answers requests by a bundle until ctrl-C or SIGTERM, and those that have come by then."""
    for module in ("fastapi", "uvicorn", "prometheus_client"):
        require(module)
    import uvicorn

    from heat_core.bundles import load_bundle
    from heat_core.serving import RequestLimits, service

    limits = RequestLimits(options.max_rows, options.max_mb)
    if options.weights is not None and options.images is None:
        raise ValueError("--weights is for --images PACK, whose network it is.")
    with _bound_socket(options.host, options.port) as listener:
        bundle = load_bundle(options.bundle, options.device)
        judge = _judge(bundle, options) if options.images is not None else None
        config = uvicorn.Config(
            service(bundle, judge, limits),
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            ws="none",
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=SECONDS_TO_END,
        )
        listener.listen(config.backlog)
        host, port = listener.getsockname()[:2]
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        print(f"{bundle.detector.name} answers at http://{address}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn passes on what it was ended by
            uvicorn.Server(config).run(sockets=[listener])


def _bound_socket(host: str, port: int) -> socket.socket:
    """Returns a socket that does not listen yet. Raises ValueError if the address is not free."""
    if not 0 <= port <= LAST_PORT:  # a larger one would be taken for another
        raise ValueError(f"--port must lie in 0..{LAST_PORT:,}, got {port}.")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except BaseException:
            listener.close()
            raise
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error_text(error)
        raise ValueError(f"cannot listen on --host {host} --port {port}: {reason}.") from None
    return listener


def _judge(bundle: Bundle, options: argparse.Namespace) -> Judge:
    """Returns what sees images as those of the bundle's pack were seen. Raises ValueError."""
    require("timm")
    from heat_core.bundles.bundle import pack_fingerprint
    from heat_core.judge import Judge
    from heat_core.pack import read_pack

    pack = read_pack(options.images)
    sha256 = pack_fingerprint(pack)
    if sha256 != bundle.pack_sha256:
        raise ValueError(
            f"--images must be the pack that the bundle was made of, {bundle.pack_title} "
            f"({bundle.pack_sha256[:12]}); got {pack.title} ({sha256[:12]})."
        )
    return Judge(pack, network_file(options.images, options.weights), device_of(options))


SERVE = Command(
    name="serve",
    run=serve,
    add_options=_serve_options,
    summary="Answer over HTTP by a bundle: decisions, its card, figures for Prometheus.",
    example="bundles/heat --port 8000",
)
