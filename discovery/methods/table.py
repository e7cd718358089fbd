"""The discovery methods, one table: commands, flags, reports and plug-ins derive from it. No torch here.

A package adds a method by an entry point of the group `latent_toolkit.methods` that names a Method (see
toolkit.plug_ins); its search is imported when the method is used.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from discovery.methods.settings import (
    ContrastSettings,
    CoordinateSettings,
    GanspaceSettings,
    PoseSettings,
    RandomSettings,
    SefaSettings,
)
from discovery.settings import DiscoverySettings
from toolkit.errors import UserError
from toolkit.plug_ins import Table, resolved
from toolkit.settings import Settings

if TYPE_CHECKING:
    from discovery.methods.search import DirectionSearch


@dataclass(frozen=True)
class Method:
    """One way to find directions, as far as it is known without running it; UserError for a part that is missing.

    `settings` has a flag of the command for each field, and a `kind` of its own. `search` is the place
    `package.module:name` of its DirectionSearch (discovery.methods.search). `explanation` says in the report what the
    directions and their figures are. A method that `scales` takes --processes, --max-memory and --compile.
    """

    settings: type[Settings]
    search: str
    explanation: str
    scales: bool = False

    def __post_init__(self) -> None:
        own_kind = (
            isinstance(self.settings, type) and issubclass(self.settings, Settings) and "kind" in vars(self.settings)
        )
        if not own_kind:
            raise UserError("its settings have to be a subclass of toolkit.settings.Settings with a kind of their own")
        if not isinstance(self.search, str) or ":" not in self.search:
            raise UserError("its search has to be the place of a DirectionSearch, package.module:name")
        if not isinstance(self.explanation, str) or not self.explanation.strip():
            raise UserError("its explanation, for the report, is missing")

    def opened(self) -> "type[DirectionSearch[Any]]":
        """Return its search, imported; UserError for one that lacks a part."""
        from discovery.methods.search import DirectionSearch

        search = resolved(self.search)
        if not (isinstance(search, type) and issubclass(search, DirectionSearch)):
            raise UserError(f"{self.search} has to be a subclass of discovery.methods.search.DirectionSearch")
        missing = sorted(search.__abstractmethods__)
        if self.scales and search.bytes_needed.__func__ is DirectionSearch.bytes_needed.__func__:  # type: ignore[attr-defined]
            missing.append("bytes_needed")
        if missing:
            raise UserError(f"{self.search} lacks {', '.join(missing)}; see discovery.methods.search")
        return search


def search_of(name: str) -> "type[DirectionSearch[Any]]":
    """Return the search of the method `name`, imported; UserError naming a plug-in that cannot be used."""
    return METHODS.attempt(name, METHODS[name].opened)


def _fault(entry: Any) -> str | None:
    return None if isinstance(entry, Method) else f"it is {type(entry).__name__}, but has to be a Method"


METHODS: Table[Method] = Table(
    "discovery method",
    {
        "deformator": Method(
            DiscoverySettings,
            "discovery.methods.deformator.search:DeformatorSearch",
            "A deformator was trained together with a reconstructor that estimates, from an image and its shifted "
            "twin, which direction was taken and how far (Voynov and Babenko 2020). RCA is the share it classifies "
            "correctly; `length` is how long a unit shift is in the latent space.",
            scales=True,
        ),
        "ganspace": Method(
            GanspaceSettings,
            "discovery.methods.ganspace.method:GanspaceSearch",
            "Principal components of the generator's features, strongest first, carried back to its latents by "
            "regression (GANSpace, Harkonen et al. 2020). `variance` is the share of the features' variance that a "
            "component explains, `length` how far one of its deviations is in the latent space, `sigma` the standard "
            "deviation of the latents along it, in which GANSpace's sliders are marked, and `centre` where their mean "
            "lies along it.",
        ),
        "sefa": Method(
            SefaSettings,
            "discovery.methods.closed_form:SefaSearch",
            "The eigenvectors of the first layers' weights, which change their outputs most, strongest first (SeFa, "
            "Shen and Zhou 2021). `eigenvalue` is by how much, squared. Of a style-based generator these are the "
            "layers that were named, or else all that draw, and the directions move the same.",
        ),
        "contrast": Method(
            ContrastSettings,
            "discovery.methods.contrast:ContrastSearch",
            "Two vectors, found by optimisation: `light` lightens the centre and darkens the border while edges stay, "
            "`dark` does the opposite (Melas-Kyriazi et al. 2021). In training `light` falls and `dark` rises, "
            "`edge_loss` is the squared change of the edges. Masks are what `light` makes brighter than `dark` (mask "
            "rule light-dark).",
        ),
        "pose": Method(
            PoseSettings,
            "discovery.methods.closed_form:PoseSearch",
            "Where the whole image lies: `rotate` turns it clockwise, `right` and `down` shift it. Nothing is sought: "
            "a StyleGAN3 opened with pose=walk renders its image anywhere (Karras et al. 2021). A unit is 15 degrees, "
            "or a twentieth of the image's side.",
        ),
        "coordinates": Method(
            CoordinateSettings,
            "discovery.methods.closed_form:CoordinateSearch",
            "The latent axes themselves: a control for the other ways.",
        ),
        "random": Method(
            RandomSettings,
            "discovery.methods.closed_form:RandomSearch",
            "Random orthonormal directions: a control for the other ways.",
        ),
    },
    _fault,
    group="methods",
)
