"""What live traffic has shown of a rollout, and how far the access log was read for it."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "live_evidence",
        sa.Column("rollout_id", sa.String(63), primary_key=True),
        sa.Column("position", sa.String(64)),
        sa.Column("state", sa.JSON, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("live_evidence")
