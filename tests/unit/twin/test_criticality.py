"""In which order pipes are ranked: each loss differs from its neighbour in one thing, and loses in all that follow."""

from __future__ import annotations

from twin.criticality import SegmentLoss, ranked
from twin.customers import Customer, Sensitivity

CUSTOMERS = [
    Customer("ana", "k1", "A"),
    Customer("eva", "k2", "A"),
    Customer("rui", "k3", "B"),
    Customer("hospital", "k4", "C", sensitive=Sensitivity.HOSPITAL),
]


def a_loss(pipe: str, dry: tuple[str, ...], volume_m3: float = 0.0, first_h: float | None = None) -> SegmentLoss:
    return SegmentLoss((pipe,), (), dry, (), first_short_at_h=first_h, undelivered_m3=volume_m3)


IN_ORDER = [
    SegmentLoss(("unknown",), (), (), (), error="it did not converge"),
    a_loss("customers", ("A",)),
    a_loss("sensitive", ("C",), 0.0),
    a_loss("nodes", ("B", "X"), 0.0),
    a_loss("volume", ("B",), 9.0),
    a_loss("soon", ("B",), 1.0, 2.0),
    a_loss("late", ("B",), 1.0, 7.0),
    a_loss("never", ("B",), 1.0),
    a_loss("nobody", ("Y", "Z", "U", "V"), 99.0, 0.0),
    a_loss("z", ()),
]


def test_customers_come_first_then_sensitive_ones_nodes_volume_and_the_hour() -> None:
    names = [loss.pipes[0] for loss in IN_ORDER]
    for losses in (IN_ORDER, IN_ORDER[::-1]):
        assert [pipe.pipe_id for pipe in ranked(losses, [], CUSTOMERS)] == names


def test_who_is_without_water_anyway_is_not_counted() -> None:
    [pipe] = ranked([a_loss("P", ("A", "C"))], ["A"], CUSTOMERS)
    assert (pipe.newly_without, pipe.customers, pipe.sensitive) == (("C",), 1, ("hospital",))


def test_pipes_of_one_segment_share_its_loss() -> None:
    loss = SegmentLoss(("P2", "P1"), (), ("B",), ())
    assert [(pipe.pipe_id, pipe.customers) for pipe in ranked([loss], [], None)] == [("P1", None), ("P2", None)]
