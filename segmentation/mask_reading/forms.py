"""Deciding from all files of a folder how they are to be read; what leaves a doubt is refused with the flag for it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from segmentation.evaluate.settings import EvaluationSettings
from segmentation.mask_reading.codes import Codes, parse_codes, shown
from segmentation.mask_reading.rules import Look, Rule
from toolkit.errors import UserError, named

VOID = 255  # the index that PASCAL VOC and its followers leave out of every figure
_VOID_COLOUR = 0xE0E0C0  # that index in VOC's palette
_DARK, _BRIGHT = 32, 223  # levels up to and from which a pixel counts as black or white
_FEW = 32  # distinct levels that are codes; more are a soft map
_CLASS_CODES = 63  # grey codes up to this are numbers of classes, not levels
_NOISE = 5e-4  # share of pixels below which dark codes are a resampled edge
_SOFT_SHARE, _PHOTO_SHARE = 0.05, 0.5  # of pixels neither black nor white, from which masks are called soft, or photos
_MIN_BLACK = 0.05  # share of black below which it is not the background of colour codes
_DEFAULT_LEVEL = EvaluationSettings().mask_threshold


@dataclass(frozen=True)
class Question:
    """What is asked of a folder: its files, how to call it, the settings, and whether they are maps or masks."""

    where: str
    settings: EvaluationSettings
    maps: bool = False

    @property
    def objects(self) -> Codes | None:
        """Return what the user calls object."""
        text = None if self.maps else self.settings.object
        return None if text is None else parse_codes(text, named("object"))

    @property
    def ignored(self) -> Codes | None:
        """Return what the user has ignored."""
        text = None if self.maps else self.settings.ignore
        return None if text is None else parse_codes(text, named("ignore"))

    @property
    def level(self) -> float:
        """Return the grey level from which a pixel is object."""
        return (0.5 if self.maps else self.settings.mask_threshold) * 255

    def refuse(self, look: Look, holds: str, flags: str) -> NoReturn:
        """Raise the one line on a form that leaves a doubt."""
        advice = "write them as grey levels, 0 for black to 255 for white" if self.maps else flags
        raise UserError(f"{self.where} hold {holds} (as {look.path.name} does); {advice}")


def decide(looks: Sequence[Look], question: Question) -> dict[str, Rule]:
    """Return a rule for each kind of file among `looks`; UserError for a form that can be read in two ways.

    All files count: one mask without object would leave a doubt that the others settle.
    """
    named = question.objects
    if named is not None and named.alpha:
        return {look.kind: _by_alpha(looks, question) for look in looks}
    if named is None and any(look.alpha_varies for look in looks):
        rest = [look for look in looks if not look.alpha]
        found = _by_alpha([look for look in looks if look.alpha], question)
        return {"alpha": found, **(decide(rest, question) if rest else {})}
    kinds: dict[str, list[Look]] = {}
    for look in looks:
        kinds.setdefault(look.kind, []).append(look)
    rules = {kind: _rule(kind, group, question) for kind, group in kinds.items()}
    if named is not None:
        _require_some(named, looks, question)
    return rules


def kind_of(look: Look, rules: dict[str, Rule]) -> str:
    """Return by which of `rules` a file is read."""
    return "alpha" if look.alpha and "alpha" in rules else look.kind


def _by_alpha(looks: Sequence[Look], question: Question) -> Rule:
    is_named = question.objects is not None
    for look in looks:
        if not look.alpha:
            question.refuse(look, "no alpha channel", f"give codes or colours with {named('object')} instead of alpha")
        dark, bright = look.counts.get(0, 0), set(look.counts) - {0}
        if not is_named and look.alpha_varies and dark and bright and len(look.counts) <= _FEW:
            question.refuse(
                look,
                "transparent pixels and both black and other colours in what is visible",
                f"give {named('object', 'alpha')} if what is visible is the object, or its code or colour",
            )
    return Rule("alpha channel, what is visible is object", alpha=True)


def _require_some(objects: Codes, looks: Sequence[Look], question: Question) -> None:
    for look in looks:
        if objects.among(look.kind) & set(look.counts) or look.kind == "photo":
            return
    held = {kind: frozenset().union(*(look.counts for look in looks if look.kind == kind)) for kind in _kinds(looks)}
    words = "; ".join(f"{shown(codes, kind)}" for kind, codes in held.items() if codes)
    raise UserError(
        f"{named('object', question.settings.object)} is in none of {question.where}: they hold {words}; name these"
    )


def _kinds(looks: Sequence[Look]) -> list[str]:
    return list(dict.fromkeys(look.kind for look in looks))


def _rule(kind: str, looks: list[Look], question: Question) -> Rule:
    ignored = _ignored(kind, looks, question)
    if question.objects is not None:
        objects = question.objects.among(kind) - ignored
        return Rule(
            f"{_NAMES[kind]}, object as {named('object', words='the setting object')} says",
            objects=objects,
            ignored=ignored,
        )
    found = _FORMS[kind]([_without(look, ignored) for look in looks] if ignored else looks, question)
    words = found.words + (f", {shown(ignored, kind)} ignored" if ignored else "")
    return Rule(words, found.plain and not ignored, found.level, found.objects, ignored)


def _ignored(kind: str, looks: list[Look], question: Question) -> frozenset[int]:
    """Return the codes to leave out: what the user says, else what VOC's masks have for it where others are there."""
    held = frozenset().union(*(look.counts for look in looks))
    if question.ignored is not None:
        return question.ignored.among(kind) & held
    void = {"index": VOID, "colour": _VOID_COLOUR}.get(kind)
    named = question.objects.among(kind) if question.objects is not None else frozenset()
    return frozenset({void} & held if void is not None and void not in named and len(held - {0, void}) else ())


def _without(look: Look, ignored: frozenset[int]) -> Look:
    counts = {code: count for code, count in look.counts.items() if code not in ignored}
    return Look(look.path, look.kind, counts, look.lossy, look.alpha, look.alpha_varies)


def _total(looks: list[Look]) -> Counter[int]:
    total: Counter[int] = Counter()
    for look in looks:
        total.update(look.counts)
    return total


def _indices(looks: list[Look], question: Question) -> Rule:
    total = _total(looks)
    if 0 not in total and total:
        question.refuse(looks[0], f"the palette indices {shown(set(total), 'index')} and no 0 for background", _OBJECT)
    rest = set(total) - {0}
    return Rule(f"palette indices, object {_but_zero(rest, 'index')}")


def _colours(looks: list[Look], question: Question) -> Rule:
    total = _total(looks)
    if question.maps and (len(total) > 2 or any(look.lossy for look in looks)):
        question.refuse(looks[0], "colours, as heat maps and overlays do", "")
    if total and total[0] < _MIN_BLACK * total.total():
        question.refuse(
            looks[0],
            f"the colours {shown(set(total), 'colour')} without a black background",
            "say which are the object, as " + named("object", "'#ff0000'"),
        )
    return Rule(f"colours, object {_but_zero(set(total) - {0}, 'colour')}")


def _photos(looks: list[Look], question: Question) -> Rule:
    question.refuse(
        looks[0],
        "hundreds of colours, as photos do",
        "name the folder of masks, or save them without loss, or say which colours are the object with "
        + named("object"),
    )


def _labels(looks: list[Look], question: Question) -> Rule:
    return Rule("labelled things, object is every one")


def _greys(looks: list[Look], question: Question) -> Rule:
    total = _total(looks)
    if all(code <= 0 or code >= VOID for code in total) and max(total, default=0) <= VOID:
        return Rule("grey levels, black and white", plain=True, level=question.level)
    if question.maps:
        return _map_levels(looks, total, question)
    if question.settings.mask_threshold != _DEFAULT_LEVEL:
        return Rule(f"grey levels, object as {_LEVEL_SETTING} says", level=question.level)
    if max(total) > VOID or (len(total) <= _FEW and not all(look.lossy for look in looks)):
        return _grey_codes(looks, total, question)
    return _soft(looks, total, question)


def _map_levels(looks: list[Look], total: Counter[int], question: Question) -> Rule:
    """Return the rule of grey maps: levels, unless they hold but one code beside 0, and a dark one."""
    if question.level <= max(total) <= VOID:
        return Rule("grey levels", plain=True, level=question.level)
    if len(total) == 2 and 0 in total:
        return _two_valued(looks, total, question)
    if max(total) > VOID:
        question.refuse(looks[0], f"numbers up to {max(total)}", "")
    return Rule(f"grey levels, of which none reaches half white: they go up to {max(total)}", level=question.level)


def _grey_codes(looks: list[Look], total: Counter[int], question: Question) -> Rule:
    """Return the rule for few distinct grey levels."""
    several = next((look for look in looks if len(set(look.counts) - {0}) > 1), None)
    if several is None:
        return _two_valued(looks, total, question)
    codes = set(total) - {0}
    if all(code <= _DARK or _BRIGHT <= code <= VOID for code in total) and _is_levels(total):
        return Rule("grey levels, nearly black and white", plain=True, level=question.level)
    if min(total) > (_DARK if _BRIGHT <= max(total) <= VOID else 0):
        pets = f"; of Oxford-IIIT Pet's {_PETS}" if codes == {1, 2, 3} else ""
        question.refuse(several, f"the codes {shown(codes, 'grey')} and no 0 for background", _OBJECT + pets)
    if max(codes - {VOID}) <= _CLASS_CODES or max(total) > VOID:
        return _class_codes(several, codes, question)
    return _few_levels(several, looks, total, question)


def _two_valued(looks: list[Look], total: Counter[int], question: Question) -> Rule:
    """Return the rule where no file holds more than one code beside 0."""
    codes = set(total) - {0}
    if 0 not in total:
        question.refuse(looks[0], f"nothing but the code {shown(codes, 'grey')}", _OBJECT)
    return Rule(f"grey codes, object {_but_zero(codes, 'grey')}")


def _is_levels(total: Counter[int]) -> bool:
    """Tell whether dark codes are noise about black, and not numbers of classes that 255 is the void of."""
    if any(_BRIGHT <= code < VOID for code in total):
        return True
    dark = [count for code, count in total.items() if 0 < code <= _DARK]
    return sum(dark) < _NOISE * total.total() if 0 in total else len(dark) == 1


def _class_codes(look: Look, codes: set[int], question: Question) -> Rule:
    if VOID in codes:
        rest = shown(codes - {VOID}, "grey")
        question.refuse(
            look,
            f"255 beside the codes {rest}",
            f"give {named('ignore', '255')} if that is to be left out, so that {rest} are object, or else "
            f"{named('object', '255')}",
        )
    if codes == {1, 2}:
        question.refuse(
            look,
            "the codes 0, 1 and 2, of which one may mean unknown",
            f"give {named('object', '1,2')} if both are object, or {named('object', '2')} {named('ignore', '1')}, or "
            f"{named('object', '1')} {named('ignore', '2')}",
        )
    return Rule(f"grey codes, object {_but_zero(codes, 'grey')}")


def _few_levels(look: Look, looks: list[Look], total: Counter[int], question: Question) -> Rule:
    middle, top = [code for code in total if _DARK < code < _BRIGHT], max(total)
    if top < _BRIGHT:
        question.refuse(
            look,
            f"the levels {shown(set(total), 'grey')}, which do not reach white",
            f"say which are object with {named('object')}, or give {named('mask_threshold')}, a share of white",
        )
    if len(total) == 3 and middle:
        question.refuse(
            look,
            f"the levels {min(total)}, {middle[0]} and {top}, as trimaps do",
            f"give {named('ignore', middle[0])} if that is unknown, or {named('object', f'{middle[0]},{top}')} or "
            f"{named('object', top)}",
        )
    return _soft(looks, total, question)


def _soft(looks: list[Look], total: Counter[int], question: Question) -> Rule:
    """Return the rule for masks of many levels: object from half white on."""
    share = sum(count for code, count in total.items() if _DARK < code < _BRIGHT) / total.total()
    if max(total) < question.level:
        flags = (
            f"give {named('mask_threshold')}, a share of white, or say with {named('object')} which levels are object"
        )
        question.refuse(looks[0], f"grey levels up to {max(total)}, and none reaches half white", flags)
    if share > _PHOTO_SHARE:
        question.refuse(
            looks[0],
            f"grey levels of which {share:.0%} are neither near black nor near white, as photos do",
            f"name the folder of masks, or give {named('object')}, or {named('mask_threshold')} other than 0.5 if they "
            "are soft masks",
        )
    soft = share >= _SOFT_SHARE
    return Rule(f"{'soft ' if soft else ''}grey levels, object from {question.level:g} on", not soft, question.level)


def _but_zero(codes: set[int], kind: str) -> str:
    zero = "black" if kind == "colour" else "0"
    return f"is all but {zero} ({shown(codes, kind)})" if codes else f"is all but {zero}, which is all there is"


_LEVEL_SETTING = named("mask_threshold", words="the setting mask_threshold")
_OBJECT = f"say which are the object, as {named('object', '1')}, and which to leave out, as {named('ignore', '3')}"
_PETS = f"1 is the object and 3 its border: {named('object', '1')} {named('ignore', '3')}"
_NAMES = {
    "labels": "labelled things",
    "grey": "grey codes",
    "index": "palette indices",
    "colour": "colours",
    "photo": "colours",
}
_FORMS = {"labels": _labels, "grey": _greys, "index": _indices, "colour": _colours, "photo": _photos}
