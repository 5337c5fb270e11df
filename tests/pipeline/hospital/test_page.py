"""The page for people: what it says, what it never says, and where its pictures and boxes lie."""

import base64
import hashlib
import html
import re
from dataclasses import replace
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from mammo.pipeline.gate import Reason
from mammo.pipeline.hospital.page import render, write_page
from mammo.pipeline.hospital.page_pictures import AS_STORED, Turn, embed_heat, embed_image, turn_of
from mammo.pipeline.hospital.page_words import REASONS, numbers, tidy
from mammo.pipeline.hospital.result import NOTICE, Pictures, ViewResult
from mammo.transforms.errors import ReadFailure

from .page_studies import FACTOR, STAMP, drawn, failed, in_part, not_analysed, planted

EVERY = {"analysed": planted, "in part": in_part, "not analysed": not_analysed, "failed": failed}
HOSTILE = "<script>alert(1)</script><img src=http://a.example/x onerror=alert(2)>\" '"


def text_of(page: str) -> str:
    """What is there to read, without tags, styles and scripts."""
    body = re.sub(r"<(style|script)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def frames_of(page: str) -> dict[str, str]:
    """The markup of every place of the hanging by its name, in order."""
    return dict(re.findall(r'<figure [^>]*data-name="([^"]+)">(.*?)</figure>', page, flags=re.DOTALL))


class Tags(HTMLParser):
    """Every tag of a page with the names of its attributes, as browsers take it apart."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, list[str]]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, [name for name, _ in attrs]))


@pytest.fixture(params=EVERY)
def page(request):
    return render(EVERY[request.param]())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("analysed", "Exam score 0.710 is at or above the operating point 0.350"),
        ("in part", "Exam score 0.640 is below the operating point 0.900"),
        ("not analysed", "This exam was not analysed: there is no AI result"),
        ("failed", "The software failed: there is no AI result for this exam"),
    ],
)
def test_the_headline_says_how_it_ended(name, words):
    page = render(EVERY[name]())
    assert re.search(r'<span class="badge">(.*?)</span>', page)[1].lower() in ("analysed in part", name)
    assert re.findall(r"<h1>(.*?)</h1>", page) == [words]


@pytest.mark.parametrize("study", [planted, not_analysed, failed])
def test_images_that_never_came_are_counted_with_the_reasons(study):
    text = text_of(render(replace(study(), absent=("http_404", "too_large", "http_404"))))
    assert "3 images of this exam could not be fetched from the archive (http 404, image is too large)" in text
    assert ("Analysed in part" in text) == (study is planted)


def test_without_an_operating_point_a_score_is_not_compared():
    page = render(planted(None))
    assert "there is no operating point" in page
    assert "at or above" not in page
    assert " below " not in re.search(r"<h1>(.*?)</h1>", page)[1]


@pytest.mark.parametrize("study", [not_analysed, failed])
def test_no_result_is_not_taken_for_a_negative_one(study):
    text = text_of(render(study()))
    assert "not a negative result" in text
    assert study().reason in text


def test_research_use_is_stated(page):
    assert page.count(html.escape(NOTICE)) >= 2
    assert '<p class="notice" role="note">' in page


def test_nothing_is_called_a_disease(page):
    assert not re.search(r"cancer|malignan|tumou?r|carcinom|suspicio|bi-?rads", text_of(page), flags=re.IGNORECASE)


def test_scores_say_whether_they_are_calibrated():
    assert "No calibration is known for this model" in text_of(render(planted()))
    text = text_of(render(in_part()))
    assert "Calibrated" in text
    assert "0.310" in text
    assert "may be off at another site" in text


def test_a_score_and_an_operating_point_that_differ_look_different():
    assert numbers(0.71, 0.35) == ("0.710", "0.350")
    assert numbers(0.46499, 0.46501) == ("0.46499", "0.46501")
    assert numbers(0.5, 0.5) == ("0.500000000",) * 2


def test_scores_of_breasts_and_views_are_told():
    text = text_of(render(planted()))
    for told in ("Right breast 0.710", "Left breast 0.180", "R CC 0.730", "R MLO 0.690", "L CC 0.200", "L MLO 0.160"):
        assert told in text


def test_views_hang_in_their_order_with_the_right_breast_on_the_left():
    study = planted()
    shuffled = replace(study, views=tuple(reversed(study.views)))
    assert list(frames_of(render(shuffled))) == ["R CC", "L CC", "R MLO", "L MLO"]


def test_missing_views_have_an_empty_frame_that_says_why():
    frames = frames_of(render(in_part()))
    assert list(frames)[1:4] == ["L CC", "R MLO", "L MLO"]
    assert "<svg" not in frames["R MLO"] + frames["L MLO"]
    assert "Spot compression view" in frames["R MLO"]
    assert "No image of this view" in frames["L MLO"]


def test_repeated_views_are_all_shown():
    frames = frames_of(render(in_part()))
    assert [name for name in frames if name.startswith("R CC")] == ["R CC, 1 of 2", "R CC, 2 of 2"]
    assert "0.730" in frames["R CC, 1 of 2"]
    assert "0.550" in frames["R CC, 2 of 2"]
    assert frames["R CC, 2 of 2"].count("<svg") == 1


def test_readable_images_of_a_mixed_up_study_are_shown_as_not_analysed():
    views = (ViewResult("/spool/a.dcm", "1.2.3", "R", "CC"), ViewResult("/spool/b.dcm", "1.2.4", "L", "CC"))
    mixed = replace(not_analysed(), views=views, reason="images of 2 studies; give one study at a time")
    frames = frames_of(render(mixed))
    assert "There, but not analysed" in frames["R CC"]
    assert "images of 2 studies" in text_of(render(mixed))


def test_a_scored_view_without_pictures_keeps_its_score():
    frames = frames_of(render(replace(planted(), pictures={})))
    assert "0.730" in frames["R CC"]
    assert "no picture" in frames["R CC"]


def test_refusals_have_code_and_sentence_and_other_objects_are_counted():
    text = text_of(render(in_part()))
    assert "Magnification view magnification : Estimated Radiographic Magnification Factor (0018,1114) is 1.8" in text
    assert "Lossy compression lossy" in text
    assert "3 other objects" in text


def test_what_a_parser_said_of_an_unreadable_file_is_kept_off_the_page():
    text = text_of(render(in_part()))
    assert "File is cut off truncated" in text
    assert "12 of 4096" not in text
    picture = ViewResult("/in/a.png", None, "R", "CC", ("no_header",), ("not DICOM: intent and view are not told",))
    assert "not DICOM: intent" in text_of(render(replace(not_analysed(), views=(picture,))))


def test_every_reason_has_words():
    assert {str(reason.value) for group in (Reason, ReadFailure) for reason in group} <= set(REASONS)


def test_stamps_are_told(page):
    text = text_of(page)
    for told in (STAMP.name, STAMP.bundle, STAMP.version, STAMP.weights_sha256, "image_size", "[224, 224]"):
        assert told in text


def test_no_identifier_but_the_beginning_of_the_job(page):
    for study in (make() for make in EVERY.values()):
        for uid in (study.study_instance_uid, *(view.sop_instance_uid for view in study.views)):
            assert uid is None or uid not in page
    assert not re.search(r"1\.2\.8\d\d\.", page)
    assert any(f"job {make().job[:12]}<" in re.sub(r'<span class="figure">', "", page) for make in EVERY.values())
    assert not any(make().job[:13] in page for make in EVERY.values())


def test_of_paths_there_are_file_names_only(page):
    assert "/spool" not in page
    assert "Roe" not in text_of(page)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot open '/data/Roe Jane/1.dcm'", "cannot open '1.dcm'"),
        (r"cannot open C:\in\Roe\1.dcm", "cannot open 1.dcm"),
        (r"cannot open \\server\in\1.dcm", "cannot open 1.dcm"),
        ("of 2.25.151735319711318273591 and 1.2.840.10008.5.1.4", "of (UID) and (UID)"),
        ("MG.1.2.840.113619.2.5.17625.dcm", "MG.(UID).dcm"),
        ("(0020,0020) is 'P\\FL', read and/or 1.8", "(0020,0020) is 'P\\FL', read and/or 1.8"),
        ("two\nlines\x00\u202e", "two lines  "),
        ("9" * 999, "9" * 399 + "\N{HORIZONTAL ELLIPSIS}"),
    ],
)
def test_texts_of_files_are_made_fit_to_be_shown(text, shown):
    assert tidy(text) == shown


def test_hostile_texts_are_escaped():
    hostile = ViewResult(
        f"/spool/{HOSTILE}", "1.2.3", HOSTILE, HOSTILE, (HOSTILE, "lossy"), (HOSTILE, HOSTILE), (HOSTILE,)
    )
    scored = replace(hostile, sop_instance_uid="1.2.5", reasons=(), messages=(), probability=0.4)
    stamp = replace(STAMP, name=HOSTILE, bundle=HOSTILE, version=HOSTILE, toolkit=HOSTILE, settings={HOSTILE: HOSTILE})
    study = planted()
    pictures = study.pictures | {"1.2.5": next(iter(study.pictures.values()))}
    for made in (
        replace(study, views=(*study.views, hostile, scored), model=stamp, pictures=pictures, missing_views=(HOSTILE,)),
        replace(not_analysed(), views=(hostile,), model=stamp, reason=HOSTILE),
        replace(failed(), model=stamp, reason=HOSTILE),
    ):
        page = render(made)
        assert "&lt;script&gt;alert(1)" in page
        tags = Tags(page).found
        assert [tag for tag, _ in tags].count("script") == 1
        assert "img" not in [tag for tag, _ in tags]
        assert not any(name.startswith("on") for _, names in tags for name in names)


def test_only_its_own_script_may_run_and_nothing_is_fetched(page):
    [policy] = re.findall(r'Content-Security-Policy" content="(.*?)">', page)
    [script] = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'; img-src data:;" in policy
    assert not re.search(r'(?:src|href|action)="(?!data:)', page)
    assert not re.search(r"https?:|@import|url\((?!#)", page)


def test_it_is_written_whole_and_the_same_every_time(tmp_path):
    path = tmp_path / "new" / "page.html"
    assert write_page(planted(), path) == path
    assert [file.name for file in path.parent.iterdir()] == ["page.html"]
    first = path.read_bytes()
    write_page(planted(), path)
    assert path.read_bytes() == first
    assert first.decode().startswith("<!DOCTYPE html>")
    assert first.decode().rstrip().endswith("</html>")


def test_the_picture_is_embedded_without_loss():
    image = drawn()[0].image
    assert np.abs(decoded(embed_image(image)).astype(float) / 255 - image).max() <= 0.5 / 255 + 1e-6


def test_the_heat_map_is_a_layer_that_is_clear_where_it_is_cold():
    study = planted()
    view = next(view for view in study.views if view.regions)
    heat = study.pictures[view.sop_instance_uid].heat
    layer = decoded(embed_heat(heat))
    scale = layer.shape[0] / heat.shape[0]
    alpha = layer[..., 3]
    assert (alpha[cv2.resize(heat, alpha.shape[::-1], interpolation=cv2.INTER_AREA) < 1e-3] == 0).all()
    rows, columns = np.nonzero(alpha == 255)
    box = [edge / FACTOR * scale for edge in view.regions[0].box]
    assert box[0] < rows.mean() < box[2]
    assert box[1] < columns.mean() < box[3]
    row, column = int(rows.mean()), int(columns.mean())
    assert layer[row, column, 2] > 200 > layer[row, column, 1]  # red; cv2 has blue first


def test_a_map_that_is_zero_everywhere_is_no_layer_and_said():
    assert embed_heat(np.zeros((8, 4), np.float32)) is None
    assert "No heat map: it is zero everywhere" in frames_of(render(planted()))["L CC"]


def test_boxes_are_drawn_in_rows_and_columns_as_stored():
    study = planted()
    frames = frames_of(render(study))
    for view in study.views:
        rows, columns = study.pictures[view.sop_instance_uid].shape
        assert f'viewBox="0 0 {columns} {rows}"' in frames[view.name]
        found = re.findall(r'<rect class="line" x="(.*?)" y="(.*?)" width="(.*?)" height="(.*?)"/>', frames[view.name])
        told = [(r.box[1], r.box[0], r.box[3] - r.box[1], r.box[2] - r.box[0]) for r in view.regions]
        assert [tuple(map(float, values)) for values in found] == told


@pytest.mark.parametrize("name", ["R CC", "L CC", "R MLO", "L MLO"])
@pytest.mark.parametrize("turn", [Turn(m, u) for m in (False, True) for u in (False, True)])
def test_a_picture_is_turned_only_if_it_is_stored_turned(name, turn):
    study = planted(mirrored=(name,) * turn.mirrored, upside_down=(name,) * turn.upside_down)
    for view in study.views:
        found = turn_of(study.pictures[view.sop_instance_uid], view.laterality, view.view)
        assert found == (turn if view.name == name else AS_STORED)
    frame = frames_of(render(study))[name]
    assert ("Shown mirrored" in frame) == turn.mirrored
    assert ("stored upside down" in frame) == turn.upside_down
    assert f"--x: {1 - 2 * turn.mirrored}; --y: {1 - 2 * turn.upside_down}" in frame


def test_the_pixels_tell_the_chest_wall_and_the_header_where_they_do_not():
    study = planted()
    view = next(view for view in study.views if view.name == "R CC")
    pictures = study.pictures[view.sop_instance_uid]
    assert turn_of(replace(pictures, orientation="A\\L"), "R", "CC") == AS_STORED
    assert turn_of(replace(pictures, orientation=None), "R", "CC") == AS_STORED
    blank = Pictures(np.zeros((8, 8), np.float32), np.zeros((8, 8), bool), np.zeros((8, 8), np.float32))
    assert turn_of(replace(blank, orientation="A\\L"), "R", "CC") == Turn(mirrored=True)
    assert turn_of(blank, "R", "CC") == AS_STORED
    assert turn_of(replace(blank, orientation="CC"), "L", "MLO") == AS_STORED  # CBIS-DDSM writes the view here
    assert turn_of(pictures, None, "CC") == AS_STORED


def decoded(uri: str) -> np.ndarray:
    """The pixels of a data URI."""
    kind, content = uri.split(",")
    assert kind == "data:image/png;base64"
    return cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_UNCHANGED)
