from __future__ import annotations

import pytest

from controller.core.errors import Refused
from controller.core.routing import CookieRule, Routing, Trial

ASKING = Routing("v1", "v2", rules=(CookieRule("T", "1"),), trial=Trial("T", consent_required=True))


def test_a_routing_is_the_same_after_it_was_written_and_read() -> None:
    for routing in (Routing("v1"), ASKING, Routing("v1", "v2", 5, trial=Trial("T"))):
        assert Routing.from_dict(routing.to_dict()) == routing


def test_a_routing_that_an_older_controller_wrote_has_no_trial() -> None:
    written = Routing("v1", "v2", 5).to_dict()
    del written["trial"]
    assert Routing.from_dict(written) == Routing("v1", "v2", 5)


def test_consent_and_a_random_share_exclude_each_other() -> None:
    with pytest.raises(Refused, match="nobody is sent to the canary at random"):
        Routing("v1", "v2", 0.1, trial=Trial("T", consent_required=True))


def test_there_is_no_trial_of_nothing() -> None:
    with pytest.raises(Refused, match="needs a canary"):
        Routing("v1", trial=Trial("T"))


@pytest.mark.parametrize("cookie", ["", "a b", "a;b", "a\nb", "x" * 65])
def test_a_cookie_that_no_header_can_carry_is_refused(cookie: str) -> None:
    with pytest.raises(Refused, match="cookie name"):
        Trial(cookie)
