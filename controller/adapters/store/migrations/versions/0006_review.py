"""What people are asked to compare, and their votes."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "review_queues",
        sa.Column("rollout_id", sa.String(63), primary_key=True),
        sa.Column("seed", sa.String(64), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
    )
    op.create_table(
        "review_pairs",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("rollout_id", sa.String(63), nullable=False, index=True),
        sa.Column("place", sa.JSON, nullable=False),
        sa.Column("difference", sa.JSON),
    )
    op.create_table(
        "review_votes",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("pair_id", sa.String(32), nullable=False, index=True),
        sa.Column("rollout_id", sa.String(63), nullable=False, index=True),
        sa.Column("rater", sa.String(64), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("choice", sa.String(16), nullable=False),
        sa.Column("prefers", sa.String(16), nullable=False),
        sa.Column("corrected", sa.Text),
    )


def downgrade() -> None:
    for table in ("review_votes", "review_pairs", "review_queues"):
        op.drop_table(table)
