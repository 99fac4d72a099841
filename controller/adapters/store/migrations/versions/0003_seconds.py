"""How long each transcript of an evaluation took."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("evaluations", sa.Column("seconds", sa.JSON))


def downgrade() -> None:
    op.drop_column("evaluations", "seconds")
