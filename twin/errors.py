"""Every error of h2twin, as a tree by what the caller does next.

TwinError
├── ConfigError        fix the configuration and restart
├── InputError         reject this one item, say why, go on
│   ├── UnknownUnitError
│   ├── WrongDimensionError
│   └── NaiveDatetimeError
├── UnavailableError   something outside is away: retry with back-off
│   └── StorageFullError
├── ModelError         keep the last good forecast and mark it stale
├── NotFoundError      the id is not known here
├── ConflictError      the state does not allow this step (any more)
└── ForbiddenError     the caller may not do this

HTTP shows these as RFC 9457 problems (`problem` is the stable slug of the type), the command line as exit codes.
"""

from __future__ import annotations


class TwinError(Exception):
    """Base of all errors that h2twin raises on purpose."""

    problem = "unexpected"
    http_status = 500
    exit_code = 1


class ConfigError(TwinError):
    """The configuration is wrong: a person must mend it and restart."""

    problem = "configuration"
    exit_code = 2


class InputError(TwinError):
    """One item from outside is not acceptable: reject it and go on with the next."""

    problem = "invalid_input"
    http_status = 422
    exit_code = 3


class UnknownUnitError(InputError):
    """A unit that the unit table does not know."""

    problem = "unknown_unit"


class WrongDimensionError(InputError):
    """A known unit that does not measure the quantity it came with."""

    problem = "wrong_dimension"


class NaiveDatetimeError(InputError):
    """A time without a zone: nobody can tell when it was."""

    problem = "naive_datetime"


class UnavailableError(TwinError):
    """A broker, store or service is away: retry later with back-off."""

    problem = "unavailable"
    http_status = 503
    exit_code = 4


class StorageFullError(UnavailableError):
    """The disk (or the store's limit) is full: pause, acknowledge nothing, drop nothing."""

    problem = "storage_full"


class ModelError(TwinError):
    """A model could not give a believable answer: keep the last good forecast, mark it stale."""

    problem = "model_failed"
    exit_code = 5


class NotFoundError(TwinError):
    """The named thing is not known here."""

    problem = "not_found"
    http_status = 404
    exit_code = 3


class ConflictError(TwinError):
    """The thing's present state does not allow this step."""

    problem = "conflict"
    http_status = 409
    exit_code = 3


class ForbiddenError(TwinError):
    """The caller's role does not allow this."""

    problem = "forbidden"
    http_status = 403
    exit_code = 3
