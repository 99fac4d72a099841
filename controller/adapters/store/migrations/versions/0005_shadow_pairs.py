"""What both versions heard of requests that were copied, and how far nodes' histories were read."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_BOTH_KNOWN = "stable IS NOT NULL AND canary IS NOT NULL"


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
    waiting = "compared IS {false} AND " + _BOTH_KNOWN + " AND key_hash IS NOT NULL"
    _index("shadow_to_compare", ["rollout_id"], waiting)
    with_texts = "units IS NOT NULL AND " + _BOTH_KNOWN
    _index("shadow_with_texts", ["rollout_id", "written", "request_id"], with_texts)
    _index("shadow_not_to_keep", ["at"], "compared IS {false} OR stable IS NULL")
    op.create_table(
        "shadow_tallies",
        sa.Column("rollout_id", sa.String(63), primary_key=True),
        sa.Column("key_hash", sa.String(64), primary_key=True),
        sa.Column("slices", sa.String(256), primary_key=True),
        sa.Column("pairs", sa.Integer, nullable=False),
        sa.Column("units", sa.Integer, nullable=False),
        sa.Column("written", sa.Integer, nullable=False),
        sa.Column("differ_written", sa.Integer, nullable=False),
        sa.Column("number_units", sa.Integer, nullable=False),
        sa.Column("numbers", sa.Integer, nullable=False),
        sa.Column("differ_numbers", sa.Integer, nullable=False),
    )
    op.create_table(
        "history_cursors",
        sa.Column("rollout_id", sa.String(63), primary_key=True),
        sa.Column("node", sa.String(128), primary_key=True),
        sa.Column("position", sa.BigInteger, nullable=False),
    )


def _index(name: str, columns: list[str], where: str) -> None:
    op.create_index(
        name,
        "shadow_pairs",
        columns,
        sqlite_where=sa.text(where.format(false="0")),
        postgresql_where=sa.text(where.format(false="false")),
    )


def downgrade() -> None:
    for table in ("history_cursors", "shadow_tallies", "shadow_pairs"):
        op.drop_table(table)
