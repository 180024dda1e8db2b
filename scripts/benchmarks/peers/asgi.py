"""uvicorn at its fastest, the same for every REST peer."""

from typing import Any


def serve(app: Any, *, port: int, **options: Any) -> None:
    """Serve an application, or the name of one, until it is stopped; `options` are uvicorn's."""
    import uvicorn  # noqa: PLC0415

    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        **options,
    )
