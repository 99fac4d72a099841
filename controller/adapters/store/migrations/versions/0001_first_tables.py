"""First tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "fleet",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("state", sa.JSON, nullable=False),
    )
    op.create_table(
        "versions",
        sa.Column("name", sa.String(63), primary_key=True),
        sa.Column("state", sa.JSON, nullable=False),
        sa.Column("digest", sa.String(64)),
    )
    op.create_table(
        "rollouts",
        sa.Column("id", sa.String(63), primary_key=True),
        sa.Column("created_at", sa.String(32), nullable=False, index=True),
        sa.Column("version", sa.String(63), nullable=False),
        sa.Column("phase", sa.String(16), nullable=False),
        sa.Column("state", sa.JSON, nullable=False),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
    )
    op.create_table(
        "intents",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("command", sa.String(32), nullable=False),
        sa.Column("arguments", sa.JSON, nullable=False),
        sa.Column("done", sa.Boolean, nullable=False),
        sa.Column("refused", sa.Boolean),
        sa.Column("outcome", sa.Text),
    )
    op.create_table(
        "evaluations",
        sa.Column("version_digest", sa.String(64), primary_key=True),
        sa.Column("eval_set_digest", sa.String(64), primary_key=True),
        sa.Column("version", sa.String(63), nullable=False),
        sa.Column("eval_set", sa.String(63), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("hypotheses", sa.JSON, nullable=False),
    )


def downgrade() -> None:
    for table in ("evaluations", "intents", "events", "rollouts", "versions", "fleet"):
        op.drop_table(table)
