"""Which directions are judged on all latents: the others fall behind on a few, as in successive halving.

Both ways along every direction are looked at on a sixth of the latents at one middling length, the best five times as
many as finalists on half of them, and the best twice as many on all of them at every length (Jamieson & Talwalkar,
AISTATS 2016). All see the same latents, so that what differs is the direction.
"""

from collections.abc import Sequence

from discovery.picking.bounds import Bounds
from discovery.picking.measuring import Judge, Measured
from discovery.picking.picker import best_of_each
from discovery.settings import PickSettings
from generators.protocol import Generator
from toolkit.compute.engine import Engine
from toolkit.directions import DirectionSet
from toolkit.watch import SILENT, Watch

Way = tuple[int, int]  # a direction's index and a sign
_STAGES = ((6, 5), (2, 2))  # the share of the latents, one over it, and the ways kept for each finalist
_FEWEST = 8  # latents of a stage: fewer say too little


def plan(settings: PickSettings, count: int) -> list[tuple[int, int]]:
    """Return how many ways along `count` directions are looked at, stage by stage, and on how many latents.

    The last stage looks at every length, those before at a middling one and, for the stability, its neighbour.
    """
    ways, looks = 2 * count, []
    for share, kept in _STAGES:
        if ways > kept * settings.finalists:
            looks.append((ways, min(settings.samples, max(_FEWEST, settings.samples // share))))
            ways = kept * settings.finalists
    return [*looks, (ways, settings.samples)]


def images_needed(settings: PickSettings, count: int) -> int:
    """Return how many shifted images are rendered to judge `count` directions."""
    *early, (ways, samples) = plan(settings, count)
    starts = [0, *(seen for _, seen in early)]
    looks = sum(2 * some * (seen - start) for (some, seen), start in zip(early, starts, strict=False))
    return looks + ways * samples * (settings.num_alphas + 1)


def measured(
    generator: Generator,
    directions: DirectionSet,
    settings: PickSettings,
    engine: Engine,
    watch: Watch = SILENT,
    label: str = "judging",
) -> list[list[Measured]]:
    """Return what is seen of both ways along each direction: at every length of those in the running to the end."""
    judge, alphas = Judge(generator, directions, settings, engine), settings.alphas()
    middling = [alphas[(len(alphas) - 1) // 2]]
    found: dict[Way, list[Measured]] = {}
    running: list[Way] = [(index, sign) for index in range(len(directions)) for sign in (1, -1)]
    *early, last = plan(settings, len(directions))
    before = 0
    with watch.bar(label, sum(ways for ways, _ in [*early, last]), unit="looks") as advance:
        for ways, seen in early:
            running = _leading(found, running, ways, settings)
            for way in running:
                if seen > before:
                    more = judge.along(*way, middling, slice(before, seen))
                    found[way] = [found[way][0].joined(more[0])] if before else more
                advance()
            before = seen
        for way in _leading(found, running, last[0], settings):
            found[way] = judge.along(*way, alphas, slice(settings.samples))
            advance()
    return [found[index, 1] + found[index, -1] for index in range(len(directions))]


def _leading(found: dict[Way, list[Measured]], running: list[Way], kept: int, settings: PickSettings) -> list[Way]:
    """Return the ways in the running of the highest scores, in the order of the set.

    Where bounds are set, ways that these shut out stay in the running: what is weak about a pick names them.
    """
    if len(running) <= kept:
        return running
    own = {way: found[way][0] for way in running}
    derived = derived_bounds([[one] for one in own.values()], settings)
    both = {derived, derived.as_set(settings)}
    scores = {way: max(one.judged(bounds).score for bounds in both) for way, one in own.items()}
    leading = set(sorted(scores, key=lambda way: -scores[way])[:kept])
    return [way for way in running if way in leading]


def derived_bounds(measured: Sequence[Sequence[Measured]], settings: PickSettings) -> Bounds:
    """Return the bounds that directions would be judged within, of what was seen of those on the most latents."""
    widest = Bounds.widest(settings)
    ranked = best_of_each([[one.judged(widest) for one in own] for own in measured])
    most = ranked[0].figures["judged_on"]
    return Bounds.derived([c for c in ranked if c.figures["judged_on"] == most], settings)
