"""Who is behind the router, as the access log asks for it."""

from __future__ import annotations

from collections.abc import Iterator

from controller.core.routing import Endpoint, Group, Membership

NODES = (Endpoint("v1-1", "127.0.0.1:9001"), Endpoint("v1-2", "127.0.0.1:9002"))


class Groups(tuple[Group, ...]):
    """Knows how often somebody went through them."""

    walks = 0

    def __iter__(self) -> Iterator[Group]:
        self.walks += 1
        return super().__iter__()


def test_an_address_is_that_of_its_node() -> None:
    canary = Group("v2", (Endpoint("v2-1", "127.0.0.1:9003"),))
    membership = Membership((Group("v1", NODES), canary))
    found = [membership.node_at(f"127.0.0.1:900{digit}") for digit in (1, 2, 3, 4)]
    assert found == ["v1-1", "v1-2", "v2-1", None]


def test_a_long_log_goes_through_the_nodes_once() -> None:
    groups = Groups((Group("v1", NODES),))
    membership = Membership(groups)
    assert [membership.node_at("127.0.0.1:9002") for _ in range(1000)] == ["v1-2"] * 1000
    assert groups.walks == 1


def test_memberships_are_equal_whether_somebody_asked_or_not() -> None:
    asked, not_asked = Membership((Group("v1", NODES),)), Membership((Group("v1", NODES),))
    asked.node_at("127.0.0.1:9001")
    assert asked == not_asked
    assert hash(asked) == hash(not_asked)
