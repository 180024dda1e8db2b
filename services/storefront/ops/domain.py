"""Errors of the pages for engineers."""

from services.common.errors import NotFoundError, UnavailableError


class MonitoringUnavailableError(UnavailableError):
    """Prometheus does not answer."""

    reason = "MONITORING_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("Prometheus does not answer; try again in a moment.")


class TracesUnavailableError(UnavailableError):
    """The trace store does not answer."""

    reason = "TRACES_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("The trace store does not answer; try again in a moment.")


class TraceNotFoundError(NotFoundError):
    """There is no such trace."""

    reason = "TRACE_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("There is no such trace: it was not recorded, or is no longer kept.")
