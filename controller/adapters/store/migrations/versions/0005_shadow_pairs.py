"""What both versions heard of requests that were copied, and how far nodes' histories were read."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "shadow_pairs",
        sa.Column("rollout_id", sa.String(63), primary_key=True),
        sa.Column("request_id", sa.String(128), primary_key=True),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("key_hash", sa.String(64)),
        sa.Column("stable", sa.JSON),
        sa.Column("canary", sa.JSON),
        sa.Column("compared", sa.Boolean, nullable=False),
        sa.Column("slices", sa.String(256)),
        sa.Column("units", sa.Integer),
        sa.Column("written", sa.Integer),
        sa.Column("number_units", sa.Integer),
        sa.Column("numbers", sa.Integer),
    )
    op.create_table(
        "history_cursors",
        sa.Column("rollout_id", sa.String(63), primary_key=True),
        sa.Column("node", sa.String(128), primary_key=True),
        sa.Column("position", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("history_cursors")
    op.drop_table("shadow_pairs")
