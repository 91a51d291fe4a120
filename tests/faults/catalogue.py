"""The faults: what is done to a stand while messages flow. Every moment is drawn from the run's seed."""

from __future__ import annotations

import random
import resource
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from faults.feeding import WITHHELD
from faults.stand import Sending, Stand
from servers.http_proxy import Way
from servers.small_disk import fill

LOUD = "loud"
"""The gateway that sends far too much; the others' lag must not show it."""
LAG_LIMIT_S = 2.0
LATE = "late"
"""The gateway that hands over at once what it could not send ten minutes ago."""
SPOOL_READINGS = 1000
"""So many may wait where the spool is to be filled up."""


@dataclass
class Drill:
    """A fault under way: the stand, the flow, and how often and when the fault strikes.

    Its time lasts from one share of the flow (`begin`) to another (`end`).
    """

    stand: Stand
    sending: Sending
    draw: random.Random
    times: int
    restarts: int
    begin: float = 0.0
    end: float = 1.0
    notes: list[str] = field(default_factory=list)

    def await_strikes(self) -> None:
        """Return when it is time for the first strike."""
        self.stand.await_stored(self._stored_at(self.draw.uniform(0.1, 0.3)))

    def strikes(self) -> list[float]:
        """Return when to strike, as numbers of readings that are stored by then."""
        return [
            self._stored_at((strike + self.draw.uniform(0.3, 1.0)) / (self.times + 1)) for strike in range(self.times)
        ]

    def _stored_at(self, share: float) -> float:
        return (self.begin + share * (self.end - self.begin)) * self.sending.flow.count

    def pause(self, shortest_s: float, longest_s: float) -> None:
        """Let the fault last for a drawn while."""
        threading.Event().wait(self.draw.uniform(shortest_s, longest_s))


@dataclass(frozen=True)
class Fault:
    """One row of the table. A fault that strikes `kills` or `restarts` is struck more often in a long run.

    Several `ingesters` work on one data folder, or `apart` with a folder each and one registry. `loud` adds two
    gateways: one far beyond its rate, and one with a backlog that no rate is held against. A fault that `finds_gaps`
    makes the ledger of gaps believe in some; unless `settles_gaps` is False, it is right again at the end. Where
    `contradicts` is False, no value contradicts another.
    """

    name: str
    strike: Callable[[Drill], None]
    on_influx: bool = False
    counts: str = ""
    small_disk: bool = False
    poison: float = 0.0
    bad: float = 0.1
    gateways: int = 40
    rate: float = 1500.0
    loud: bool = False
    ingesters: int = 1
    apart: bool = False
    by: str = "faults.publishing"
    finds_gaps: bool = False
    settles_gaps: bool = True
    contradicts: bool = True
    settings: Mapping[str, str] = field(default_factory=dict)


# ------------------------------------------------------------------------------------------------- the processes


def kill_ingester(drill: Drill) -> None:
    for goal in drill.strikes():
        drill.stand.await_stored(goal)
        drill.stand.kill_ingester()
        drill.stand.start_ingester()


def kill_sharing_ingesters(drill: Drill) -> None:
    """Kill one of two that share the messages, in turn, and every third time both.

    The one that lives sees gaps, which the other fills when it is back.
    """
    stand = drill.stand
    for strike, goal in enumerate(drill.strikes()):
        struck = ([0], [1], [0, 1])[strike % 3]
        stand.await_stored(goal)
        found = stand.gaps()
        for which in struck:
            stand.kill_ingester(which)
        if len(struck) == 1 and not _is_so_soon(stand, lambda found=found: stand.gaps() > found):
            drill.notes.append("once no gap was seen")
        for which in struck:
            stand.start_ingester(which, must_subscribe=True)


def kill_forwarder(drill: Drill) -> None:
    """Kill the process while its spool holds what the slow server does not have, or has without our knowing."""
    stand = drill.stand
    assert stand.way is not None
    stand.way.slow_s = 0.2
    stand.await_stored(1)  # the bucket must be met before it is away: nothing is taken on trust
    for goal in drill.strikes():
        stand.way.become(drill.draw.choice((Way.SLOW, Way.ANSWER_LOST)))
        stand.await_stored(goal)
        stand.await_("readings in the spool", lambda: stand.waiting() > 0)
        stand.kill_ingester()
        stand.way.become(Way.GOOD)
        stand.start_ingester()


def restart_broker(drill: Drill) -> None:
    for goal in drill.strikes():
        drill.stand.await_stored(goal)
        drill.stand.stop_broker()
        drill.pause(0.1, 0.5)
        drill.stand.start_broker()
        drill.stand.restarts += 1


def kill_broker(drill: Drill) -> None:
    """Kill the broker; what it had acknowledged and not yet saved is sent again, as a gateway fills a gap."""
    stand = drill.stand
    for goal in drill.strikes():
        stand.await_stored(goal)
        before, saved_at = stand.network.subscriptions, stand.kill_broker()
        stand.start_broker()
        stand.await_("the ingester's return", lambda before=before: stand.network.subscriptions > before)
        drill.sending.tell(f"doubt {saved_at - 1:.3f}")


# ------------------------------------------------------------------------------------------------- the gateway


def kill_gateway(drill: Drill) -> None:
    """Kill the gateway in the flow, and every other time while its outbox holds what a broker that is away lacks."""
    stand = drill.stand
    drill.sending.tell("go")
    for strike, goal in enumerate(drill.strikes()):
        stand.await_stored(goal)
        if strike % 2:
            drill.sending.tell("kill")
            stand.kills += 1
            continue
        stand.stop_broker()
        taken = drill.sending.acknowledged
        more = min(taken + 100, drill.sending.planned)
        stand.await_("readings in the outbox", lambda more=more: drill.sending.acknowledged >= more)
        drill.sending.tell("kill")
        stand.kills += 1
        drill.pause(0.1, 0.5)
        stand.start_broker()
        stand.restarts += 1


def kill_broker_behind_gateway(drill: Drill) -> None:
    """Kill the broker with messages in hand that it has acknowledged; the ledger of gaps has the gateway send again.

    A newer reading must follow: nobody misses the last one.
    """
    stand = drill.stand
    drill.end = 1 - WITHHELD
    for goal in drill.strikes():
        stand.await_stored(goal)
        stand.network.part()
        drill.pause(0.3, 0.9)
        before = stand.network.subscriptions
        stand.kill_broker()
        stand.network.heal()
        stand.start_broker()
        stand.await_("the ingester's return", lambda before=before: stand.network.subscriptions > before)
    drill.sending.tell("go")


def kill_ingester_and_restart_broker(drill: Drill) -> None:
    """The long run: many kills of the ingester, and in between the broker restarts."""
    goals = drill.strikes()
    restarts = set(drill.draw.sample(range(len(goals)), min(drill.restarts, len(goals))))
    for strike, goal in enumerate(goals):
        drill.stand.await_stored(goal, within_s=300)
        drill.stand.kill_ingester()
        drill.stand.start_ingester()
        if strike in restarts:
            drill.stand.stop_broker()
            drill.stand.start_broker()
            drill.stand.restarts += 1


# ---------------------------------------------------------------------------------------------------- the network


def delay_network(drill: Drill) -> None:
    drill.await_strikes()
    drill.stand.network.delay(drill.draw.uniform(0.05, 0.15))
    drill.pause(1.0, 1.5)
    drill.stand.network.heal()


def reset_network(drill: Drill) -> None:
    for goal in drill.strikes():
        drill.stand.await_stored(goal)
        drill.stand.network.reset()


def half_open_network(drill: Drill) -> None:
    """The broker loses the connection, the ingester is not told: only its own heartbeat can tell."""
    for goal in drill.strikes()[:2]:
        drill.stand.await_stored(goal)
        before = drill.stand.network.subscriptions
        drill.stand.network.half_open()
        drill.stand.await_("a new connection", lambda before=before: drill.stand.network.subscriptions > before)


def part_network(drill: Drill) -> None:
    drill.await_strikes()
    drill.stand.network.part()
    drill.pause(2.0, 2.5)
    drill.stand.network.heal()


# ------------------------------------------------------------------------------------------------------ InfluxDB


def disturb_influx(way: Way, *, share: float = 1.0) -> Callable[[Drill], None]:
    """Return the fault of a way that is bad for a while."""

    def strike(drill: Drill) -> None:
        assert drill.stand.way is not None
        drill.await_strikes()
        drill.stand.way.become(way, share=share)
        drill.pause(1.0, 2.0)
        drill.stand.await_(f"the way being {way}", lambda: drill.stand.way is not None and drill.stand.way.met[way] > 0)
        drill.stand.way.become(Way.GOOD)

    return strike


def refuse_batches(drill: Drill) -> None:
    """A third of the writes are refused, and every one with a line of one sensor: as InfluxDB refuses bad lines.

    What it refuses even alone is quarantined, and let go when the cause is mended.
    """
    stand = drill.stand
    assert stand.way is not None
    stand.way.refused_line = f"sensor_id={drill.draw.choice(drill.sending.flow.sensor_ids)} ".encode()
    stand.way.become(Way.REFUSING, share=1 / 3)
    stand.await_stored(drill.sending.planned, within_s=300)
    stand.await_("an empty spool", lambda: stand.waiting() == 0, within_s=300)
    stand.way.refused_line = None
    stand.way.become(Way.GOOD)
    quarantined = stand.quarantined()
    if not quarantined:
        stand.wrongs.append("nothing was quarantined")
    drill.notes.append(f"{stand.release_quarantine()} of {quarantined} quarantined were released")


def fill_spool(drill: Drill) -> None:
    """The server stays away until no more readings may wait: told at 70 % and 95 %, paused where no batch fits."""
    stand = drill.stand
    assert stand.way is not None
    stand.await_stored(1)
    stand.way.become(Way.AWAY)
    _await_standstill(stand)
    told = stand.registry.count("SELECT count(*) FROM events WHERE subject LIKE 'readings: waiting from %'")
    drill.notes.append(f"{stand.waiting()} of {SPOOL_READINGS} waited, {told} events")
    due = sum(stand.waiting() >= level * SPOOL_READINGS for level in (0.70, 0.95))
    if told != due:
        stand.wrongs.append(f"{told} events tell of the filling spool, there should be {due}")
    if stand.waiting() > SPOOL_READINGS:
        stand.wrongs.append("more waited than may")
    stand.way.become(Way.GOOD)


# ---------------------------------------------------------------------------------------------- the disk, the clock


def fill_disk(drill: Drill) -> None:
    stand = drill.stand
    drill.await_strikes()
    if stand.small_disk is not None:
        ballast = fill(stand.small_disk)
        _await_standstill(stand)
        ballast.unlink()
        return
    drill.notes.append("no disk could be mounted: the ingester's files could not grow instead")
    limit = stand.store_files[0].with_name(f"{stand.store_files[0].name}-wal").stat().st_size + 64 * 1024
    resource.prlimit(stand.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    _await_standstill(stand)
    resource.prlimit(stand.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def _is_so_soon(stand: Stand, ready: Callable[[], bool]) -> bool:
    try:
        stand.await_("it", ready, within_s=4)
    except TimeoutError:
        return False
    return True


def _await_standstill(stand: Stand) -> None:
    """Return when nothing was stored for a second although the broker holds messages."""
    pause = threading.Event()

    def stands_still() -> bool:
        before = stand.stored()
        pause.wait(1.0)
        return stand.stored() == before < stand.acknowledged()

    stand.await_("a standstill on the full disk", stands_still)


def jump_clock(drill: Drill) -> None:
    jumps = [3600.0, -7200.0, 86_400.0, -3.0, 0.0]
    for offset_s in jumps:
        drill.stand.set_clock_wrong_by(offset_s)
        drill.pause(0.2, 0.4)


# ------------------------------------------------------------------------------------------------------ senders


def burst(drill: Drill) -> None:
    """The loud gateway and the late one are flows of their own, begun by the runner; here they only have their time."""
    drill.stand.await_("the burst", lambda: all(sending.is_done for sending in drill.stand.sendings))


def kill_in_burst(drill: Drill) -> None:
    """What was refused before a kill comes again after it, to an ingester that remembers no rate."""
    drill.stand.await_("refusals", lambda: drill.stand.dead() > 100)
    drill.stand.kill_ingester()
    drill.stand.start_ingester()


def poison(drill: Drill) -> None:
    """The flow itself is the fault."""


def in_turn(*strikes: Callable[[Drill], None]) -> Callable[[Drill], None]:
    """Return the fault of several that strike one after the other, each in its share of the flow."""

    def strike(drill: Drill) -> None:
        for number, each in enumerate(strikes):
            drill.begin, drill.end = number / len(strikes), (number + 1) / len(strikes)
            each(drill)

    return strike


GATEWAY = "faults.feeding"

FAULTS = (
    Fault("kill -9 of the ingester", kill_ingester, counts="kills"),
    Fault("kill -9 of the forwarder", kill_forwarder, on_influx=True, counts="kills"),
    Fault(
        "kill -9 of sharing ingesters",
        kill_sharing_ingesters,
        counts="kills",
        ingesters=2,
        rate=300.0,
        finds_gaps=True,
    ),
    Fault(
        "kill -9 of sharing ingesters, one spool",
        kill_sharing_ingesters,
        on_influx=True,
        counts="kills",
        ingesters=2,
        rate=300.0,
        gateways=5,
        finds_gaps=True,
    ),
    Fault(
        "kill -9 of sharing ingesters, two spools",
        kill_sharing_ingesters,
        on_influx=True,
        counts="kills",
        ingesters=2,
        apart=True,
        rate=300.0,
        gateways=5,
        finds_gaps=True,
        contradicts=False,
    ),
    Fault("kill -9 of the gateway", kill_gateway, counts="kills", by=GATEWAY, gateways=1),
    Fault(
        "broker kill -9, gateway asked",
        kill_broker_behind_gateway,
        rate=300.0,
        counts="restarts",
        by=GATEWAY,
        gateways=1,
        bad=0.0,
        finds_gaps=True,
    ),
    Fault("broker restart", restart_broker, counts="restarts"),
    Fault("broker kill -9, backfill", kill_broker, counts="restarts"),
    Fault("network delay", delay_network),
    Fault("network reset", reset_network, counts="restarts"),
    Fault("network half-open", half_open_network, counts="restarts"),
    Fault("network partition", part_network),
    Fault("influx away", disturb_influx(Way.AWAY), on_influx=True),
    Fault("influx slow", disturb_influx(Way.SLOW), on_influx=True),
    Fault("influx 400 on a third", refuse_batches, on_influx=True),
    Fault("influx 503", disturb_influx(Way.OVERLOADED, share=0.8), on_influx=True),
    Fault("influx hanging", disturb_influx(Way.HANGING), on_influx=True),
    Fault("influx answers lost", disturb_influx(Way.ANSWER_LOST), on_influx=True),
    Fault("spool full", fill_spool, on_influx=True, rate=500.0, settings={"spool_readings": str(SPOOL_READINGS)}),
    Fault("disk full", fill_disk, small_disk=True),
    Fault("disk full under the spool", fill_disk, small_disk=True, on_influx=True),
    Fault("clock jumps", jump_clock, settles_gaps=False),
    Fault("poison messages", poison, poison=0.1),
    Fault("burst of one gateway", burst, bad=0.0, rate=200.0, gateways=10, loud=True),
    Fault("kill -9 in a burst", kill_in_burst, bad=0.0, rate=200.0, gateways=10, loud=True),
)
STORM = (
    Fault("storm of kills and restarts", kill_ingester_and_restart_broker, counts="kills"),
    Fault("storm on influx", kill_ingester_and_restart_broker, on_influx=True, counts="kills"),
)
_PASSING = (Way.AWAY, Way.SLOW, Way.OVERLOADED, Way.HANGING, Way.ANSWER_LOST)
_APART = ("sharing ingesters", "gateway", "400", "full", "burst")
_TOO_LONG = ("one spool",)
IN_SHORT = (
    Fault(
        "kills and restarts",
        in_turn(kill_ingester, restart_broker, kill_broker, kill_ingester),
        counts="kills",
        rate=200.0,
    ),
    Fault("bad networks", in_turn(delay_network, reset_network, half_open_network, part_network), rate=150.0),
    Fault(
        "bad ways to influx",
        in_turn(*map(disturb_influx, _PASSING), kill_forwarder),
        on_influx=True,
        rate=150.0,
    ),
    Fault("clock jumps, poison messages", jump_clock, poison=0.1, settles_gaps=False),
    *(
        fault
        for fault in FAULTS
        if any(part in fault.name for part in _APART) and not any(part in fault.name for part in _TOO_LONG)
    ),
)
"""The same faults for those who have little time: several share one installation."""
