"""COCO's annotations written by `predict`, read by `eval`, and compared with what COCO's own tools make of them."""

import contextlib
import csv
import io
import json
import os
import re
import resource

import numpy as np
import pycocotools.mask as coco_masks
import pytest
import scipy.ndimage as ndi
from cli_runs import ran, refused
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from test_objects import discs, found_in
from test_predict_results import RedSegmenter

from segmentation.evaluate.settings import EvaluationSettings
from segmentation.objects.average_precision import ObjectTally, TrueObjects
from segmentation.objects.coco_reading import CocoFile
from segmentation.objects.runs import Runs, painted
from segmentation.predict.segmenter import Segmenter
from segmentation.unet.network import UNet
from toolkit.errors import UserError
from toolkit.pictures.photos import read_gray, write_picture

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
SHAPE = (80, 120)
THINGS = {"two": [(30, 30, 20), (50, 90, 15)], "sub/one": [(40, 60, 25)], "none": []}


@pytest.fixture(autouse=True)
def red(monkeypatch):
    segmenter = RedSegmenter(UNet(width=4), 32)
    monkeypatch.setattr(Segmenter, "load", lambda name: segmenter)


@pytest.fixture
def photos(tmp_path):
    """Photos of red discs on green: two, one, and none."""
    for name, circles in THINGS.items():
        photo = np.where(mask_of(circles)[..., None], [220, 30, 40], [20, 200, 90]).astype(np.uint8)
        write_picture(tmp_path / "in" / f"{name}.png", photo)
    return tmp_path / "in"


def mask_of(circles):
    return discs(SHAPE, *circles) if circles else np.zeros(SHAPE, bool)


def opened(path):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(path)


def rows_in(folder):
    return list(csv.DictReader(io.StringIO((folder / "result.csv").read_text(encoding="utf-8"), newline="")))


def test_predict_writes_things_as_labels_and_as_annotations_that_cocos_tools_read(photos, tmp_path):
    out = tmp_path / "out"
    printed = ran("predict", photos, "--out", out, "--write", "mask", "--objects")
    assert "wrote 6 pictures (mask, objects), objects.json, result.csv and result.json" in printed
    assert "found 3 things in 3 photos" in printed
    file = opened(out / "objects.json")
    assert [image["file_name"] for image in file.imgs.values()] == ["none.png", "sub/one.png", "two.png"]
    for image in file.imgs.values():
        name = image["file_name"].removesuffix(".png")
        labels = np.asarray(Image.open(out / f"{name}_objects.png"))
        annotations = file.imgToAnns[image["id"]]
        assert (image["height"], image["width"]) == labels.shape == SHAPE
        assert labels.max() == len(annotations) == len(THINGS[name])
        assert np.array_equal(labels > 0, read_gray(out / f"{name}_mask.png") > 0)
        for label, annotation in enumerate(annotations, start=1):
            assert np.array_equal(file.annToMask(annotation), labels == label)
            assert annotation["bbox"] == coco_masks.toBbox(annotation["segmentation"]).tolist()
            assert annotation["area"] == coco_masks.area(annotation["segmentation"])
            assert (annotation["score"], annotation["iscrowd"], annotation["category_id"]) == (1, 0, 1)
    assert [row["objects"] for row in rows_in(out)] == ["0", "1", "2"]
    summary = json.loads((out / "result.json").read_text())
    assert (summary["objects"], summary["min_object"], summary["neck"]) == (3, 0.005, 0)
    with contextlib.redirect_stdout(io.StringIO()):
        assert len(file.loadRes(file.dataset["annotations"]).anns) == 3


def test_without_things_nothing_is_said_of_them(photos, tmp_path):
    assert "found" not in ran("predict", photos, "--out", tmp_path / "out")
    assert not (tmp_path / "out" / "objects.json").exists()
    assert {row["objects"] for row in rows_in(tmp_path / "out")} == {""}
    assert "add --objects" in refused("predict", photos, "--out", tmp_path / "out", "--min-object", "0.1")


def test_settings_of_things_have_their_say(photos, tmp_path):
    ran("predict", photos, "--out", tmp_path / "out", "--write", "objects", "--min-object", "0.1")
    assert [row["objects"] for row in rows_in(tmp_path / "out")] == ["0", "1", "1"]
    ran("predict", photos, "--out", tmp_path / "out", "--objects", "--threshold", "0")
    assert [row["objects"] for row in rows_in(tmp_path / "out")] == ["1", "1", "1"]
    line = refused("predict", photos, "--out", tmp_path / "out", "--objects", "--threshold", "0", "--min-object", "0.2",
                   "--skip-existing")  # fmt: skip
    assert "--min-object 0.005, not 0.2" in line


def test_a_stopped_run_goes_on_to_the_same_file(photos, tmp_path):
    out = tmp_path / "out"
    ran("predict", photos, "--out", out, "--objects")
    whole = (out / "objects.json").read_bytes()
    (out / "sub" / "one_objects.png").unlink()
    Image.open(out / "two_objects.png").save(out / "two_objects.png")  # which drops the annotations in it
    assert "skipped 1 photo" in ran("predict", photos, "--out", out, "--objects", "--skip-existing")
    assert (out / "objects.json").read_bytes() == whole
    (out / "objects.json").unlink()
    assert "skipped 3 photos" in ran("predict", photos, "--out", out, "--objects", "--skip-existing")
    assert (out / "objects.json").read_bytes() == whole


def test_a_file_of_before_does_not_outlive_its_pictures(photos, tmp_path, monkeypatch):
    out = tmp_path / "out"
    ran("predict", photos, "--out", out, "--objects")
    (photos / "two.png").write_bytes(b"no photo")
    refused("predict", photos, "--out", out, "--objects", "--threshold", "0.7")
    assert not (out / "objects.json").exists()


def test_eval_reads_annotations_and_labels_back(photos, tmp_path):
    ran("predict", photos, "--out", tmp_path / "out", "--write", "objects")
    for masks in (tmp_path / "out" / "objects.json", tmp_path / "out"):
        printed = ran("eval", "--photos", photos, "--masks", masks, "--objects", "--out", tmp_path / "eval")
        assert "3 things predicted, 3 true: AP 1.000, AP at .5 1.000, CorLoc 1.000" in printed
        (result,) = json.loads((tmp_path / "eval" / "result.json").read_text())["datasets"]
        assert result["measures"]["iou"] == 1
        assert (result["images"], result["objects"]["true"], result["objects"]["photos_with_things"]) == (3, 3, 2)


def annotated(tmp_path, *, images=None, annotations=(), name="annotations.json", **more):
    """Write annotations of the photos in `photos`; each gets a number."""
    images = images or [
        {"id": number, "file_name": f"{name}.png", "height": SHAPE[0], "width": SHAPE[1]}
        for number, name in enumerate(THINGS)
    ]
    held = {"images": images, "annotations": [{"id": n, "category_id": 1, **one} for n, one in enumerate(annotations)]}
    (tmp_path / name).write_text(json.dumps({**held, **more}))
    return tmp_path / name


def rle_of(circles, compressed=True):
    theirs = coco_masks.encode(np.asfortranarray(mask_of(circles).astype(np.uint8)))
    counts = theirs["counts"].decode() if compressed else Runs.of(mask_of(circles)).counts().tolist()
    return {"size": list(SHAPE), "counts": counts}


def outline_of(circle):
    angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    return np.stack([circle[1] + 0.5 + circle[2] * np.cos(angles), circle[0] + 0.5 + circle[2] * np.sin(angles)], 1)


def test_every_form_of_annotation_is_read_and_crowds_are_ignored(photos, tmp_path):
    two, one = THINGS["two"], THINGS["sub/one"]
    file = annotated(
        tmp_path,
        annotations=[
            {"image_id": 0, "segmentation": [outline_of(circle).ravel().tolist() for circle in two[:1]], "iscrowd": 0},
            {"image_id": 0, "segmentation": rle_of(two[1:], compressed=False)},
            {"image_id": 1.0, "segmentation": rle_of(one), "iscrowd": 0},
            {"image_id": 2, "segmentation": rle_of([(40, 60, 30)], compressed=False), "iscrowd": 1},
            {"image_id": 99, "segmentation": []},
        ],
    )
    printed = ran("eval", "--photos", photos, "--masks", file, "--objects", "--out", tmp_path / "eval")
    assert "masks read as COCO annotations, crowds ignored; 1 of images that are not in the file" in printed
    assert "3 things predicted, 3 true" in printed
    (result,) = json.loads((tmp_path / "eval" / "result.json").read_text())["datasets"]
    assert result["masks"]["ignored_pixels"] == mask_of([(40, 60, 30)]).sum()
    assert result["measures"]["iou"] > 0.97
    assert result["objects"]["ap"] > 0.9
    counted = ran("eval", "--photos", photos, "--masks", file, "--objects", "--ignore", "none", "--out", tmp_path / "e")
    assert "3 things predicted, 4 true" in counted


def test_categories_are_what_object_and_ignore_name(photos, tmp_path):
    kinds = [
        {"image_id": 0, "segmentation": rle_of([circle]), "category_id": category}
        for circle, category in zip(THINGS["two"], (3, 7), strict=True)
    ]
    file = annotated(tmp_path, annotations=kinds)
    for flags, true in ((("--object", "3"), 1), (("--object", "3,7"), 2), (("--ignore", "7"), 1), ((), 2)):
        printed = ran("eval", "--photos", photos, "--masks", file, "--objects", "--out", tmp_path / "eval", *flags)
        assert f"things predicted, {true} true" in printed
    line = refused("eval", "--photos", photos, "--masks", file, "--out", tmp_path / "eval", "--object", "4")
    assert "--object 4 names no category that is used" in line
    assert "3 and 7; name these" in line
    assert "numbers of categories" in refused(
        "eval", "--photos", photos, "--masks", file, "--out", tmp_path / "eval", "--object", "#ff0000"
    )


def test_each_code_of_others_masks_is_a_thing_and_of_black_and_white_each_part(photos, tmp_path):
    for name, circles in THINGS.items():
        labels = sum(number * mask_of([circle]) for number, circle in enumerate(circles, 1)) + np.zeros(SHAPE, int)
        write_picture(tmp_path / "codes" / f"{name}.png", (10 * labels).astype(np.uint8))
        write_picture(tmp_path / "white" / f"{name}.png", (255 * (labels > 0)).astype(np.uint8))
    for masks in ("codes", "white"):
        printed = ran("eval", "--photos", photos, "--masks", tmp_path / masks, "--objects", "--out", tmp_path / "eval")
        assert "3 things predicted, 3 true: AP 1.000" in printed
    line = refused("eval", "--photos", photos, "--masks", tmp_path / "white", "--objects", "--invert", "--out", "x")
    assert "omit --invert" in line


SQUARE = [10, 10, 30, 10, 30, 30, 10, 30]
HOSTILE = {
    "a list": ([], "no file of COCO annotations"),
    "no annotations": ({"images": []}, "no file of COCO annotations"),
    "an image that is a number": ({"images": [3], "annotations": []}, "has no id"),
    "an id that is a list": ({"images": [{"id": []}], "annotations": []}, r"has \[\] as its id"),
    "an id twice": ({"images": 2}, "two images of the id 0"),
    "a name twice": ({"images": [{}, {"id": 1}]}, "two images named two.png"),
    "a name that climbs": ({"images": [{"file_name": "../../etc/two.png"}]}, "no name of a photo"),
    "a name with a zero byte": ({"images": [{"file_name": "two\0.png"}]}, "no name of a photo"),
    "no name": ({"images": [{"file_name": 7}]}, "no name of a photo"),
    "a size of a trillion": ({"images": [{"width": 10**6, "height": 10**6}]}, "no photo here has"),
    "a negative size": ({"images": [{"width": -120}]}, "no photo here has"),
    "a size in floats": ({"images": [{"width": 120.0}]}, "no photo here has"),
    "another size than the photo": ({"images": [{"width": 60}]}, "60 x 80 pixels, but"),
    "an annotation twice": ({"annotations": [{"id": 5}, {"id": 5}]}, "two annotations of the id 5"),
    "no segmentation": ({"annotations": [{"segmentation": None}]}, "has no segmentation"),
    "an empty one": ({"annotations": [{"segmentation": []}]}, "has no segmentation"),
    "a category in words": ({"annotations": [{"category_id": "dog"}]}, "no number of that kind"),
    "a crowd of seven": ({"annotations": [{"iscrowd": 7}]}, "no number of that kind"),
    "a box": ({"annotations": [{"segmentation": [[10, 10, 20, 20]]}]}, "of 4 numbers"),
    "a point far away": ({"annotations": [{"segmentation": [[1e18, 0, 5, 5, 9, 9]]}]}, "far outside"),
    "runs of another size": ({"annotations": [{"segmentation": {"size": [4, 4], "counts": "08"}}]}, "height and width"),
    "runs of no size": ({"annotations": [{"segmentation": {"counts": "08"}}]}, "of height and width"),
    "too few": ({"annotations": [{"segmentation": {"size": [80, 120], "counts": [5, 5]}}]}, "counts of 10 pixels"),
    "a huge count": ({"annotations": [{"segmentation": {"size": [80, 120], "counts": [2**62]}}]}, "no whole numbers"),
    "huge letters": ({"annotations": [{"segmentation": {"size": [80, 120], "counts": "oooooo7" * 2}}]}, "pixels|neg"),
    "a negative count": ({"annotations": [{"segmentation": {"size": [80, 120], "counts": [9601, -1]}}]}, "negative"),
}  # fmt: skip


def hostile(change):
    """Return annotations of one photo with what is wrong with them."""
    if not isinstance(change, dict) or change in ({"images": []},):
        return change
    image = {"id": 0, "file_name": "two.png", "width": SHAPE[1], "height": SHAPE[0]}
    wrong = change.get("images", [{}])
    images = [image] * wrong if isinstance(wrong, int) else [{**image, **one} if one != 3 else 3 for one in wrong]
    usual = {"id": 1, "image_id": 0, "category_id": 1, "iscrowd": 0, "segmentation": [SQUARE]}
    annotations = [{**usual, **one} for one in change.get("annotations", [{}])]
    return {"images": images, "annotations": annotations}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_annotations_are_refused_in_one_line(name, photos, tmp_path):
    change, words = HOSTILE[name]
    (photos / "sub" / "one.png").unlink()
    (photos / "none.png").unlink()
    (tmp_path / "a.json").write_text(json.dumps(hostile(change)))
    line = refused("eval", "--photos", photos, "--masks", tmp_path / "a.json", "--out", tmp_path / "eval")
    assert re.search(words, line), line
    assert not (tmp_path / "eval" / "result.json").exists()


@pytest.mark.parametrize("text", ["", "{", "[" * 5000, '{"images": [], "annotations": [NaN]}', "\ufeff{}"])
def test_files_that_are_no_json_are_refused(text, tmp_path):
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError):
        CocoFile.read(tmp_path / "a.json")


def test_so_many_annotations_that_they_would_fill_the_memory_are_refused(tmp_path, monkeypatch):
    """Triangles over a photo of a megapixel: small on disk, each of a thousand spans."""
    monkeypatch.setattr("segmentation.objects.coco_reading._MOST_SPANS", 50_000)
    image = {"id": 0, "file_name": "a.png", "width": 1000, "height": 1000}
    triangle = {"image_id": 0, "segmentation": [[0, 0, 1000, 500, 0, 1000]]}
    file = CocoFile.read(annotated(tmp_path, images=[image], annotations=[triangle] * 100))
    with pytest.raises(UserError, match=r"annotation 5\d of .* more outlines than any photo"):
        next(iter(file.images.values())).spans()


def test_a_file_of_many_photos_is_written_without_holding_their_things(tmp_path):
    from segmentation.objects.coco_writing import labelled_picture, write_coco

    noise = found_in(ndi.uniform_filter(np.random.default_rng(0).random((200, 300)), 3) > 0.52)
    picture, text = labelled_picture(noise)
    picture.save(tmp_path / "a.png", pnginfo=text)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    photos = ((f"{number}.png", (300, 200), tmp_path / "a.png") for number in range(400))
    count = write_coco(tmp_path / "all.json", photos, {})
    assert count == 400 * len(noise)
    assert (tmp_path / "all.json").stat().st_size > 20_000_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 15_000
    assert sorted(os.listdir(tmp_path)) == ["a.png", "all.json"]


def random_things(rng):
    """Return things found in a map, and true ones: parts of a like map, one that overlaps them, some of them crowds."""
    shape = tuple(int(side) for side in rng.integers(20, 60, 2))
    values = ndi.gaussian_filter(rng.random(shape), 2)
    values = (values - values.min()) / np.ptp(values)
    found = found_in(values > 0.55)
    found.confidences[:] = rng.random(len(found)).round(1)  # with ties
    like = 0.7 * values + 0.3 * ndi.gaussian_filter(rng.random(shape), 2)
    masks = [one.mask for one in found_in(like > np.median(like) + 0.1, min_object=0.01).items]
    masks = [] if rng.random() < 0.2 else masks
    square = np.zeros(shape, bool)
    square[3:15, 4:18] = True
    masks += [square] if rng.random() < 0.4 else []
    return found, masks, rng.random(len(masks)) < 0.2


@pytest.mark.parametrize("seed", range(6))
def test_figures_of_things_are_those_of_cocos_tools(seed, tmp_path):
    rng, tally = np.random.default_rng(seed), ObjectTally()
    images, truths, results, located = [], [], [], []
    for number in range(12):
        found, masks, crowds = random_things(rng)
        height, width = found.labels.shape
        images.append({"id": number, "file_name": f"{number}", "height": height, "width": width})
        boxes = []
        for mask, crowd in zip(masks, crowds, strict=True):
            rle = coco_masks.encode(np.asfortranarray(mask.astype(np.uint8)))
            boxes += [] if crowd else [coco_masks.toBbox(rle)]
            entry = {"image_id": number, "category_id": 1, "iscrowd": int(crowd), "area": int(mask.sum())}
            rle["counts"] = rle["counts"].decode()
            truths.append({**entry, "id": len(truths) + 1, "segmentation": rle, "bbox": [0, 0, 1, 1]})
        results += [
            {"image_id": number, "category_id": 1, "score": one.confidence, "segmentation": one.rle()}
            for one in found.items
        ]
        tally.add(found, TrueObjects([Runs.of(mask).spans() for mask in masks], crowds))
        if boxes:
            largest = np.array([one.box for one in found.items[:1]], float).reshape(-1, 4)
            ious = coco_masks.iou(largest, np.array(boxes), [0] * len(boxes))
            located.append(len(largest) > 0 and np.max(ious) >= 0.5)
    held = {"images": images, "annotations": truths, "categories": [{"id": 1, "name": "object"}], "info": {}}
    (tmp_path / "true.json").write_text(json.dumps(held))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(tmp_path / "true.json")
        theirs = COCOeval(truth, truth.loadRes(results), "segm")
        theirs.evaluate()
        theirs.accumulate()
        theirs.summarize()
    ours = tally.figures()
    expected = {"ap": 0, "ap50": 1, "ap75": 2, "ar100": 8}
    assert {name: ours[name] for name in expected} == pytest.approx(
        {name: theirs.stats[place] for name, place in expected.items()}, abs=1e-12
    )
    assert ours["corloc"] == np.mean(located)


def test_figures_without_true_or_predicted_things():
    none, disc = found_in(np.zeros(SHAPE)), found_in(mask_of(THINGS["sub/one"]))
    nothing = TrueObjects([], np.zeros(0, bool))
    empty = ObjectTally()
    empty.add(disc, nothing)
    assert set(empty.figures().values()) == {None}
    missed = ObjectTally()
    missed.add(none, TrueObjects([Runs.of(mask_of(THINGS["sub/one"])).spans()], np.array([False])))
    assert set(missed.figures().values()) == {0.0}


def test_outlines_that_overlap_are_one_thing_of_their_union(tmp_path):
    from segmentation.mask_reading.annotations import AnnotatedMasks

    squares = [SQUARE, [20, 20, 50, 20, 50, 50, 20, 50]]
    image = {"id": "a", "file_name": "/abs/two.png", "height": 80, "width": 120}
    file = CocoFile.read(annotated(tmp_path, images=[image], annotations=[{"image_id": "a", "segmentation": squares}]))
    (path,) = file.images
    masks = AnnotatedMasks.of(file, [path], EvaluationSettings())
    whole = masks.truth(path, path, SHAPE).mask
    assert whole.sum() == 20 * 20 + 30 * 30 - 10 * 10
    true = masks.true_objects(path, path, SHAPE)
    assert len(true.spans) == 1
    assert np.array_equal(painted(true.spans, SHAPE), whole)
    assert true.boxes(SHAPE[0]) == [(10, 10, 40, 40)]
