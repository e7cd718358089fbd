"""What is written of predictions: the kinds of pictures, as NAME_KIND.png, and the files of results beside them."""

# What each is called where several are spoken of.
KINDS = {
    "mask": "masks",
    "soft": "soft maps",
    "overlay": "overlays",
    "cutout": "cut-outs",
    "composite": "composites",
    "objects": "labelled pictures",
}
USUAL_KINDS = ("mask", "soft", "overlay")
OBJECTS = "objects"  # the kind of which all photos have one more file together
TABLE, SUMMARY, COCO = "result.csv", "result.json", "objects.json"
