"""The toolkit as a library: the nouns and verbs of the whole chain. Nothing is imported until a name is used.

>>> import toolkit
>>> directions = toolkit.pick(toolkit.discover("flowers64"))  # doctest: +SKIP
>>> segmenter = toolkit.segment(directions, progress=True)  # doctest: +SKIP
>>> toolkit.mask("photo.jpg", segmenter)  # doctest: +SKIP

Wherever a generator, a direction set or a segmenter is asked for, its name or path serves as well.
"""

TYPE_CHECKING = False  # for type checkers, which take it for True: importing it from typing takes ten times as long
if TYPE_CHECKING:
    from cli.learning.face import learn
    from cli.learning.settings import LearnSettings
    from discovery.face import discover, edit, pick, render
    from discovery.methods.settings import ContrastSettings, GanspaceSettings, SefaSettings
    from discovery.opening import open_directions
    from discovery.settings import DiscoverySettings, PickSettings
    from generators.face import embed, mix, open_generator, sample
    from generators.protocol import Generator, Latents
    from segmentation.evaluate.evaluation import Evaluation
    from segmentation.evaluate.settings import EvaluationSettings
    from segmentation.face.clips import video
    from segmentation.face.exporting import export
    from segmentation.face.making import segment, self_train, synthesize
    from segmentation.face.using import cutout, evaluate, mask, objects, predict
    from segmentation.objects.finding import FoundObject
    from segmentation.objects.settings import ObjectSettings
    from segmentation.predict.onnx_segmenter import OnnxSegmenter
    from segmentation.predict.prediction import Prediction
    from segmentation.predict.segmenter import Segmenter
    from segmentation.self_training.settings import SelfTrainingSettings
    from segmentation.synthesis.settings import SynthesizeSettings
    from segmentation.unet.settings import SegmentationSettings
    from segmentation.video.settings import VideoSettings
    from toolkit.directions import DirectionSet
    from toolkit.errors import UserError

__version__ = "0.1.0"
__all__ = [
    "ContrastSettings",
    "DirectionSet",
    "DiscoverySettings",
    "Evaluation",
    "EvaluationSettings",
    "FoundObject",
    "GanspaceSettings",
    "Generator",
    "Latents",
    "LearnSettings",
    "ObjectSettings",
    "OnnxSegmenter",
    "PickSettings",
    "Prediction",
    "SefaSettings",
    "SegmentationSettings",
    "Segmenter",
    "SelfTrainingSettings",
    "SynthesizeSettings",
    "UserError",
    "VideoSettings",
    "__version__",
    "cutout",
    "discover",
    "edit",
    "embed",
    "evaluate",
    "export",
    "learn",
    "mask",
    "mix",
    "objects",
    "open_directions",
    "open_generator",
    "pick",
    "predict",
    "render",
    "sample",
    "segment",
    "self_train",
    "synthesize",
    "video",
]
# Where each name is at home. This module alone names what lies above it, and does nothing but fetch it.
_HOMES = {
    "cli.learning.face": ("learn",),
    "cli.learning.settings": ("LearnSettings",),
    "discovery.face": ("discover", "edit", "pick", "render"),
    "discovery.methods.settings": ("ContrastSettings", "GanspaceSettings", "SefaSettings"),
    "discovery.opening": ("open_directions",),
    "discovery.settings": ("DiscoverySettings", "PickSettings"),
    "generators.face": ("embed", "mix", "open_generator", "sample"),
    "generators.protocol": ("Generator", "Latents"),
    "segmentation.evaluate.evaluation": ("Evaluation",),
    "segmentation.evaluate.settings": ("EvaluationSettings",),
    "segmentation.face.clips": ("video",),
    "segmentation.face.exporting": ("export",),
    "segmentation.face.making": ("segment", "self_train", "synthesize"),
    "segmentation.face.using": ("cutout", "evaluate", "mask", "objects", "predict"),
    "segmentation.objects.finding": ("FoundObject",),
    "segmentation.objects.settings": ("ObjectSettings",),
    "segmentation.predict.onnx_segmenter": ("OnnxSegmenter",),
    "segmentation.predict.prediction": ("Prediction",),
    "segmentation.predict.segmenter": ("Segmenter",),
    "segmentation.self_training.settings": ("SelfTrainingSettings",),
    "segmentation.synthesis.settings": ("SynthesizeSettings",),
    "segmentation.unet.settings": ("SegmentationSettings",),
    "segmentation.video.settings": ("VideoSettings",),
    "toolkit.directions": ("DirectionSet",),
    "toolkit.errors": ("UserError",),
}
_PLACES = {name: f"{home}:{name}" for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from toolkit.imports import collection_paused
    from toolkit.plug_ins import resolved

    with collection_paused():
        value = resolved(_PLACES[name])
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
