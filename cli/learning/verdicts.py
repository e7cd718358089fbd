"""What a finished stage is worth, judged by its figures: what failed, what is weak, and what to try. No torch here."""

from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.errors import WeakPoint, named

_FEW_PHOTOS = 1000
_COLLAPSED, _NARROW = 0.5, 0.75  # diversity of samples, over that of photos
_UNLIKE, _ROUGH = 8.0, 2.5  # sliced Wasserstein distance, over that of photos to photos: 1.3 of the shipped generator
_COPYING = 0.6  # distance to the nearest photo, over that of photos to theirs
_HARDLY_ANY_PAIRS, _FEW_PAIRS = 0.1, 0.4  # share of the samples whose masks pass the filters
_HARDLY_ANY_MASKS, _FEW_MASKS = 0.2, 0.4  # share of the photos; of flowers .68 fit, of butterflies .45, both to gain


def of_photos(count: int) -> list[WeakPoint]:
    """Judge how many photos there are."""
    if count >= _FEW_PHOTOS:
        return []
    return [
        WeakPoint(
            "photos", f"{count} photos are few to learn a kind of thing from", f"{_FEW_PHOTOS:,} and more do better"
        )
    ]


def of_plan(name: str, steps: int, least: int, most: int) -> list[WeakPoint]:
    """Judge the steps that a part was given."""
    if steps > least or least == most:
        return []
    what = f"{steps:,} steps are the fewest that make sense" if steps else "there was no time for it"
    return [WeakPoint(name, what, f"give more {named('hours')}")]


def of_generator(figures: Mapping[str, Any], steps: int) -> list[WeakPoint]:
    """Judge a trained generator by its quality figures (generators.compact.quality); none where there are none."""
    if "swd" not in figures:
        return [WeakPoint("generator", "too few photos to measure it by", "look at its samples")]
    diversity, distance = figures["diversity"], figures["swd"] / max(figures["swd_photos"], 1e-8)
    longer = f"give more {named('hours')}, or more photos of one kind ({steps:,} steps were taken)"
    alike = f"its samples differ {diversity:.2f} times as much as photos do"
    unlike = f"its samples lie {distance:.1f} times as far from the photos as these from each other"
    found = []
    if diversity < _COLLAPSED:
        again = "train it once more with another seed, or longer"
        found.append(WeakPoint("generator", f"{alike}: it has collapsed", again, failed=True))
    elif diversity < _NARROW:
        found.append(WeakPoint("generator", f"{alike}: it knows few ways a picture can look", longer))
    if distance > _ROUGH:
        found.append(WeakPoint("generator", unlike, longer, failed=distance > _UNLIKE))
    if figures["nearest_ratio"] < _COPYING:
        what = f"samples lie {figures['nearest_ratio']:.2f} times as near to a photo as photos to each other"
        found.append(WeakPoint("generator", f"{what}: it copies", "give more photos"))
    return found


def of_pick(weak: Sequence[Mapping[str, Any]]) -> list[WeakPoint]:
    """Judge the picked direction by what pick.json says is weak about it (discovery.picking.verdict)."""
    advice = (
        f"give more {named('hours')}, for a better generator, other {named('methods')}, or as {named('directions')} a "
        "set in which one was chosen by hand"
    )
    return [WeakPoint("pick", point["what"], advice, failed=point["failed"]) for point in weak]


def of_pairs(result: Mapping[str, Any]) -> list[WeakPoint]:
    """Judge a segmenter's result by how many of the samples drawn had a mask that passes the filters."""
    drawn, rejected, ease = result["drawn"], result["rejected"], result.get("ease")
    share = 1 - sum(rejected.values()) / drawn if drawn else 0.0
    if share >= _FEW_PAIRS:
        return []
    what = f"masks of {share:.0%} of the samples pass the filters"
    return [
        WeakPoint(
            "segmenter",
            f"{what}: {ease['text']}" if ease else what,
            f"choose another direction or a shorter one and give it as {named('directions')}",
            failed=share < _HARDLY_ANY_PAIRS,
        )
    ]


def of_self_training(kept_share: float) -> list[WeakPoint]:
    """Judge by the share of the photos whose masks were fit to train on."""
    if kept_share >= _FEW_MASKS:
        return []
    advice = (
        "the segmenter before it may be the better one; try another direction, or photos that show one kind of thing "
        "before other colours"
    )
    what = f"masks of {kept_share:.0%} of the photos are fit to train on"
    return [WeakPoint("self-training", what, advice, failed=kept_share < _HARDLY_ANY_MASKS)]
