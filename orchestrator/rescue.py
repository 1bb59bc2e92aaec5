"""Give the chunks of dead workers to others, between two looks of the schedule at everything.

`advance` does it too. It takes the migration's lock and may be busy with an index for hours; this takes no lock: each
chunk is rescued by one statement, and whoever comes second finds none.
"""

from config.settings import Settings
from orchestrator import dispatch
from reembed.database import chunks, overview
from reembed.database.connection import Connection


def rescue_all(connection: Connection, settings: Settings) -> int:
    """Take back what lapsed, of every migration that is under way, and publish it; how many chunks that were."""
    return sum(_rescue(connection, settings, migration_id) for migration_id in overview.active(connection))


def _rescue(connection: Connection, settings: Settings, migration_id: int) -> int:
    rescued = chunks.rescue(connection, migration_id, max_strikes=settings.max_chunk_attempts)
    if rescued:
        dispatch.publish(connection, migration_id)
    return rescued
