"""The tables. A change here goes together with a migration in migrations/versions."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    or_,
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
shadow_tallies = Table(  # sums over the pairs of one sticky key that are in the same slices
    "shadow_tallies",
    metadata,
    Column("rollout_id", String(63), primary_key=True),
    Column("key_hash", String(64), primary_key=True),
    Column("slices", String(256), primary_key=True),
    Column("pairs", Integer, nullable=False),
    Column("units", Integer, nullable=False),
    Column("written", Integer, nullable=False),
    Column("differ_written", Integer, nullable=False),
    Column("number_units", Integer, nullable=False),
    Column("numbers", Integer, nullable=False),
    Column("differ_numbers", Integer, nullable=False),
)
_pair = shadow_pairs.c
_both_known = _pair.stable.is_not(None) & _pair.canary.is_not(None)
TO_COMPARE = _pair.compared.is_(False) & _both_known & _pair.key_hash.is_not(None)
WITH_TEXTS = _pair.units.is_not(None) & _both_known
NOT_TO_KEEP = or_(_pair.compared.is_(False), _pair.stable.is_(None))  # for long
_of_rollout = (_pair.rollout_id, _pair.written, _pair.request_id)
Index("shadow_to_compare", _pair.rollout_id, sqlite_where=TO_COMPARE, postgresql_where=TO_COMPARE)
Index("shadow_with_texts", *_of_rollout, sqlite_where=WITH_TEXTS, postgresql_where=WITH_TEXTS)
Index("shadow_not_to_keep", _pair.at, sqlite_where=NOT_TO_KEEP, postgresql_where=NOT_TO_KEEP)
history_cursors = Table(  # how far the histories of nodes were read for a rollout
    "history_cursors",
    metadata,
    Column("rollout_id", String(63), primary_key=True),
    Column("node", String(128), primary_key=True),
    Column("position", BigInteger, nullable=False),  # milliseconds: too many for 32 bits
)
