"""What PostgreSQL refuses to a service that searches, as where its role came after `start`, and the rights it wants."""

from reembed import errors


class MayNotReadFlag(errors.Usage):
    """The database role of this service may not read the flag: {reason}.

    GRANT USAGE ON SCHEMA reembed, and SELECT ON reembed.flags and reembed.models, to it.
    """


class MayNotSearch(errors.Usage):
    """The database role of this service may not search {table}: {reason}.

    GRANT SELECT ON {tables} to it.
    """
