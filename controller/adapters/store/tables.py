"""The tables. A change here goes together with a migration in migrations/versions."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()

# Times are ISO 8601 in UTC: text sorts by time, and reads the same in both databases.
fleet = Table(
    "fleet",
    metadata,
    Column("id", Integer, primary_key=True),  # always 1
    Column("state", JSON, nullable=False),
)
versions = Table(
    "versions",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("state", JSON, nullable=False),
    Column("digest", String(64)),  # pinned when first known; a version is immutable
)
rollouts = Table(
    "rollouts",
    metadata,
    Column("id", String(63), primary_key=True),
    Column("created_at", String(32), nullable=False, index=True),
    Column("version", String(63), nullable=False),
    Column("phase", String(16), nullable=False),
    Column("state", JSON, nullable=False),
)
events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", String(32), nullable=False),
    Column("actor", String(64), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("subject", String(64), nullable=False),
    Column("message", Text, nullable=False),
    Column("data", JSON, nullable=False),
)
intents = Table(
    "intents",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", String(32), nullable=False),
    Column("actor", String(64), nullable=False),
    Column("command", String(32), nullable=False),
    Column("arguments", JSON, nullable=False),
    Column("done", Boolean, nullable=False, default=False),
    Column("refused", Boolean),
    Column("outcome", Text),
)
evaluations = Table(
    "evaluations",
    metadata,
    Column("version_digest", String(64), primary_key=True),
    Column("eval_set_digest", String(64), primary_key=True),
    Column("version", String(63), nullable=False),
    Column("eval_set", String(63), nullable=False),
    Column("at", String(32), nullable=False),
    Column("hypotheses", JSON, nullable=False),
    Column("seconds", JSON),  # unknown for what was transcribed before there was this column
)
cursors = Table(  # how far readers of the audit have come: the id of the last event they had
    "cursors",
    metadata,
    Column("name", String(1024), primary_key=True),
    Column("position", Integer, nullable=False),
)
live_evidence = Table(  # of the rollout under way, and how far the access log was read for it
    "live_evidence",
    metadata,
    Column("rollout_id", String(63), primary_key=True),
    Column("position", String(64)),
    Column("state", JSON, nullable=False),
)
review_queues = Table(  # the seed decides order and sides: who knows it is not blind
    "review_queues",
    metadata,
    Column("rollout_id", String(63), primary_key=True),
    Column("seed", String(64), nullable=False),
    Column("at", String(32), nullable=False),
)
review_pairs = Table(
    "review_pairs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("rollout_id", String(63), nullable=False, index=True),
    Column("place", JSON, nullable=False),
    Column("difference", JSON),  # the recording and both texts; none once it was forgotten
)
review_votes = Table(  # all that were ever given: of one person on one pair the last one counts
    "review_votes",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("pair_id", String(32), nullable=False, index=True),
    Column("rollout_id", String(63), nullable=False, index=True),
    Column("rater", String(64), nullable=False),
    Column("at", String(32), nullable=False),
    Column("choice", String(16), nullable=False),
    Column("prefers", String(16), nullable=False),
    Column("corrected", Text),
)
shadow_pairs = Table(  # of requests that were copied; units is null until both were compared
    "shadow_pairs",
    metadata,
    Column("rollout_id", String(63), primary_key=True),
    Column("request_id", String(128), primary_key=True),
    Column("at", String(32), nullable=False),  # when the first half came
    Column("key_hash", String(64)),
    Column("stable", JSON(none_as_null=True)),
    Column("canary", JSON(none_as_null=True)),
    Column("compared", Boolean, nullable=False, default=False),
    Column("slices", String(256)),
    Column("units", Integer),
    Column("written", Integer),
    Column("number_units", Integer),
    Column("numbers", Integer),
)
history_cursors = Table(  # how far the histories of nodes were read for a rollout
    "history_cursors",
    metadata,
    Column("rollout_id", String(63), primary_key=True),
    Column("node", String(128), primary_key=True),
    Column("position", BigInteger, nullable=False),  # milliseconds: too many for 32 bits
)
