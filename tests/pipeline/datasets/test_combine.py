import copy
import json

import pytest
from mammo.pipeline.datasets import SchemaError, check_datalist, check_leaks, load_datalist, save_datalist
from mammo.pipeline.datasets.combine import combine


def listed(name, root="/data/cbis", **sections):
    datalist = {"name": name, "licence": "CC BY 3.0", "root": root, **sections}
    return {key: value for key, value in datalist.items() if value is not None}


@pytest.fixture
def mammograms(record):
    return listed(
        "films",
        training=[record("P1", "a", image="/data/cbis/a.dcm"), record("P2", "b", image="/data/cbis/b.dcm")],
        test=[record("P3", "c", image="/data/cbis/c.dcm")],
    )


@pytest.fixture
def lesions(record):
    def lesion(patient, image, number):
        crop = [0.0, 0.0, 8.0 * number, 8.0 * number]
        return record(patient, f"{image}#{number}", image=f"/data/cbis/{image}.dcm", crop=crop)

    return listed(
        "lesions",
        training=[lesion("P1", "a", 1), lesion("P1", "a", 2), lesion("P2", "b", 1)],
        test=[lesion("P3", "c", 1)],
    )


def ids(datalist, section):
    return [record["image_id"] for record in datalist[section]]


def test_mammograms_and_lesions_lie_side_by_side_in_their_sections(mammograms, lesions):
    mix = combine([mammograms, lesions], name="films and lesions")
    check_datalist(mix)
    assert check_leaks(mix) == {}
    assert ids(mix, "training") == ["a", "b", "a#1", "a#2", "b#1"]
    assert ids(mix, "test") == ["c", "c#1"]
    assert "validation" not in mix
    assert mix["name"] == "films and lesions"
    assert mix["description"] == "combined: films + lesions"
    assert {record["split"] for record in mix["training"]} == {"training"}


def test_lists_given_are_left_alone(mammograms, lesions):
    before = copy.deepcopy([mammograms, lesions])
    combine([mammograms, lesions, mammograms], name="mix")
    assert [mammograms, lesions] == before


def test_one_record_of_two_lists_is_taken_once_with_what_either_knows(mammograms):
    other = copy.deepcopy(mammograms)
    other["training"][0]["density"] = "B"
    mammograms["training"][0]["age"] = 60
    mix = combine([mammograms, other], name="mix")
    assert ids(mix, "training") == ["a", "b"]
    assert (mix["training"][0]["density"], mix["training"][0]["age"]) == ("B", 60)


def test_records_that_contradict_each_other_are_refused_with_both_values(mammograms):
    other = copy.deepcopy(mammograms) | {"name": "others"}
    mammograms["training"][0]["pathology"], other["training"][0]["pathology"] = "BENIGN", "MALIGNANT"
    words = "a of tiny: field 'pathology' is 'BENIGN' in films and 'MALIGNANT' in others"
    with pytest.raises(SchemaError, match=words):
        combine([mammograms, other], name="mix")


def test_different_pictures_of_one_id_get_ids_of_their_own(lesions):
    others = copy.deepcopy(lesions)
    for record in others["training"]:
        record["crop"] = [1.0, 1.0, 5.0, 5.0]
    mix = combine([lesions, others, others], name="mix")
    assert ids(mix, "training") == ["a#1", "a#2", "b#1", "a#1~2", "a#2~2", "b#1~2"]
    assert ids(mix, "test") == ["c#1"]
    check_datalist(mix)


def test_the_same_id_in_two_datasets_stays(mammograms, record):
    other = listed("inbreast", training=[record("P3", "a", image="/data/in/a.dcm") | {"dataset": "inbreast"}])
    mix = combine([mammograms, other], name="mix")
    assert [(r["dataset"], r["image_id"]) for r in mix["training"]] == [("tiny", "a"), ("tiny", "b"), ("inbreast", "a")]
    assert check_leaks(mix) == {}  # P3 of another dataset is another woman


def test_patient_in_two_sections_is_refused_with_the_lists_named(mammograms, lesions):
    lesions["test"] += [lesions["training"].pop()]
    with pytest.raises(ValueError, match=r"1 patients .* P2 \(training, test\).* training of films, test of lesions"):
        combine([mammograms, lesions], name="mix")


def test_declared_leak_is_kept_and_covers_nobody_else(mammograms, lesions, record):
    lesions |= {"known_leak": "cbis-official", "known_leak_patients": ["P2"]}
    lesions["test"] += [lesions["training"].pop()]
    mix = combine([mammograms, lesions], name="mix")
    assert (mix["known_leak"], mix["known_leak_patients"]) == ("cbis-official", ["tiny/P2"])
    assert check_leaks(mix) == {"P2": ["training", "test"]}
    lesions["training"] += [record("P3", "z", image="/data/cbis/z.dcm")]
    with pytest.raises(ValueError, match=r"P3 \(training, test\).*patient P3 is in test of films, training of lesions"):
        combine([mammograms, lesions], name="mix")


def test_leak_declared_without_names_means_that_lists_own_patients(mammograms, lesions, record):
    mammograms["test"] += [record("P1", "d", image="/data/cbis/d.dcm")]
    mammograms["known_leak"] = "by-design"
    assert combine([mammograms], name="mix")["known_leak_patients"] == ["tiny/P1"]
    lesions["test"] += [lesions["training"].pop()]
    with pytest.raises(ValueError, match="P2"):
        combine([mammograms, lesions], name="mix")


def test_a_declared_patient_of_one_dataset_does_not_excuse_a_namesake_of_another(record):
    declaring = {"name": "a", "known_leak": "x", "known_leak_patients": ["7"]} | {
        name: [record("7", f"a-{name}") | {"dataset": "first", "image": f"/a-{name}.dcm"}]
        for name in ("training", "test")
    }
    leaking = {"name": "b"} | {
        name: [record("7", f"b-{name}") | {"dataset": "second", "image": f"/b-{name}.dcm"}]
        for name in ("training", "test")
    }
    with pytest.raises(ValueError, match="second/7"):
        combine([declaring, leaking], name="both")


def test_leaks_of_two_lists_are_both_named(mammograms, lesions):
    mammograms |= {"known_leak": "one", "known_leak_patients": ["P1"]}
    lesions |= {"known_leak": "two", "known_leak_patients": ["P2", "P1"]}
    mix = combine([mammograms, lesions], name="mix")
    assert (mix["known_leak"], mix["known_leak_patients"]) == ("one + two", ["tiny/P1", "tiny/P2"])


def test_licences_are_joined_once_each_and_reach_the_records(mammograms, lesions, record):
    other = listed("inbreast", training=[record("Q1", "q", image="/data/in/q.dcm", licence="own terms")])
    other["licence"] = "by request"
    mix = combine([mammograms, lesions, other], name="mix")
    assert mix["licence"] == "CC BY 3.0; by request"
    assert [r["licence"] for r in mix["training"]] == ["CC BY 3.0"] * 5 + ["own terms"]
    assert combine([mix, other], name="again")["licence"] == mix["licence"]


@pytest.mark.parametrize(
    ("roots", "expected"),
    [(("/data/cbis", "/data/in"), "/data"), (("/data/x", "/data/x"), "/data/x"), (("/a", "/b"), None)],
)
def test_root_is_the_folder_that_all_have_in_common(record, roots, expected):
    lists = [
        listed(str(n), root, training=[record(f"P{n}", str(n), image=f"{root}/{n}.png")])
        for n, root in enumerate(roots)
    ]
    assert combine(lists, name="mix").get("root") == expected
    assert combine(lists, name="mix", root="/elsewhere")["root"] == "/elsewhere"


def test_list_without_a_root_keeps_absolute_paths(mammograms, lesions):
    del lesions["root"]
    assert "root" not in combine([mammograms, lesions], name="mix")


def test_relative_paths_follow_their_root(record):
    finding = {"id": "1", "roi_mask": "m.png", "crop": "c.png"}
    one = listed("one", training=[record("P1", "a", image="x/a.png", roi_masks=["m.png"], findings=[finding])])
    first = combine([one], name="mix")["training"][0]
    assert (first["image"], first["roi_masks"]) == ("/data/cbis/x/a.png", ["/data/cbis/m.png"])
    assert first["findings"] == [{"id": "1", "roi_mask": "/data/cbis/m.png", "crop": "/data/cbis/c.png"}]
    del one["root"]
    with pytest.raises(SchemaError, match=r"one: the path 'x/a.png' is relative"):
        combine([one], name="mix")


def test_written_mix_names_no_place_and_reads_back(tmp_path, record):
    lists = []
    for dataset in ("one", "two"):
        root = tmp_path / "data" / dataset
        (root).mkdir(parents=True)
        own = record("P1", "a", image=str(root / "a.png")) | {"dataset": dataset}
        save_datalist(listed(dataset, str(root), training=[own]), root / "datalist.json")
        lists.append(load_datalist(root / "datalist.json"))
    mix = combine(lists, name="mix")
    path = save_datalist(mix, tmp_path / "data" / "mix.json")
    assert [r["image"] for r in json.loads(path.read_text())["training"]] == ["one/a.png", "two/a.png"]
    assert load_datalist(path)["training"] == mix["training"]


def test_nothing_to_combine_is_refused():
    with pytest.raises(ValueError, match="no datalist"):
        combine([], name="mix")


def test_broken_list_is_named(mammograms, record):
    with pytest.raises(SchemaError, match=r"bad: training\[0\].*'density'"):
        combine([mammograms, listed("bad", training=[record("P1", density="Z")])], name="mix")
