"""Annotation files: read as they were meant to be, written so that they read back."""

import json

import pytest

from discovery.annotations import parse_annotations, read_annotations, write_annotations
from toolkit.errors import UserError


def test_golden_text_without_the_original_s_loss_of_repeated_labels(golden):
    arrays = golden("charts")
    found = parse_annotations(str(arrays["annotation_text"]))
    assert found == {"Background_blur": 0, "zoom": 5, "zoom_(1)": 7, "Face_yaw": 11}
    lossy = json.loads(str(arrays["annotation_json"]))
    assert {name: found[name] for name in lossy if name != "zoom"} == {
        name: index for name, index in lossy.items() if name != "zoom"
    }


def test_labels_are_one_word_without_edges():
    text = "3:  light  to  dark \r\n\n  \n12: a: b\n4: zoom\n5: zoom \n6: zoom\n"
    assert parse_annotations(text) == {"light_to_dark": 3, "a:_b": 12, "zoom": 4, "zoom_(1)": 5, "zoom_(2)": 6}


def test_written_labels_read_back(tmp_path):
    path = tmp_path / "human_annotation.txt"
    labels = {"zoom": 5, "zoom_(1)": 7, "background blur": 0}
    write_annotations(path, labels)
    assert path.read_text() == "0: background_blur\n5: zoom\n7: zoom_(1)\n"
    assert read_annotations(path) == {"background_blur": 0, "zoom": 5, "zoom_(1)": 7}
    write_annotations(path, {})
    assert read_annotations(path) == {}


@pytest.mark.parametrize("line", ["no separator", "x: zoom", "-1: zoom", "4:", "4: ", "1.5: zoom"])
def test_malformed_lines_are_named(tmp_path, line):
    path = tmp_path / "human_annotation.txt"
    path.write_text(f"0: blur\n{line}\n")
    with pytest.raises(UserError, match=r"human_annotation.txt, line 2 is .*has to be like 12: zoom"):
        read_annotations(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no human_annotation\.txt at"):
        read_annotations(tmp_path / "none.txt")
