"""Which model fills a column: the new one always, the old one as long as it answers.

After the switch an application may stop writing old vectors. As long as the old model is in the environment, texts that
change get their old vector all the same, so that rolling back hides nothing.
"""

from config.settings import Settings
from reembed import settings
from reembed.database.ledger import Migration, Side

NO_OLD_MODEL = (
    "the old column is not kept fresh by this worker: its OLD_EMBED_MODEL is not the migration's old model"
)
OLD_MODEL_AWAY = "the old column is not kept fresh ({error}); unset OLD_EMBED_MODEL if its model is gone"


def model(environment: Settings, migration: Migration, side: Side) -> settings.Model | None:
    """The model of a column; None for the old one where it is not at hand.

    It is at hand if OLD_EMBED_MODEL names the one that the ledger knows to have made the old vectors. Another one's
    must never come among them, so a model that nobody named when the migration began does not count.
    """
    if side == "new":
        return migration.new_model
    at_hand = environment.old_model(migration.old_dimensions)
    return at_hand if at_hand == migration.old_model else None
