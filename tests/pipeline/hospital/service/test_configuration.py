"""Settings: one file and options, unknown names refused with the known ones, secrets in neither."""

import pytest
from mammo.pipeline.hospital.service.configuration import GATES, read_settings
from mammo.pipeline.hospital.service.settings import DicomwebSettings, DimseSettings


@pytest.fixture
def given(tmp_path):
    (tmp_path / "best.pt").touch()
    return {"folder": tmp_path / "service", "checkpoint": tmp_path / "best.pt", "url": "https://pacs/dicom-web"}


@pytest.fixture
def dimse(given):
    told = {name: value for name, value in given.items() if name != "url"}
    return told | {"allowed": ["PACS"], "pacs_ae_title": "PACS", "pacs_host": "10.0.0.1"}


def test_gates_are_those_that_there_are():
    from mammo.pipeline.gate import PRESETS

    assert set(GATES) == set(PRESETS)


def test_options_come_before_the_file(given, tmp_path):
    config = tmp_path / "service.yaml"
    config.write_text("quiet_s: 5\npoll_s: 7\nlook_back_days: null\nfilter: {ModalitiesInStudy: MG, StationName: X1}\n")
    settings = read_settings(DicomwebSettings, given | {"quiet_s": 9.0, "poll_s": None}, config)
    assert (settings.quiet_s, settings.poll_s, settings.look_back_days) == (9.0, 7.0, None)
    assert settings.filter == {"ModalitiesInStudy": "MG", "StationName": "X1"}


def test_a_file_alone_is_enough(given, tmp_path):
    config = tmp_path / "service.yaml"
    config.write_text("".join(f"{name}: {value}\n" for name, value in given.items()))
    assert read_settings(DicomwebSettings, {}, config).url == given["url"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("quite_s: 5", ["quite_s", "did you mean quiet_s", "known are", "poll_s"]),
        ("password: x", ["password", "MAMMO_PACS_PASSWORD"]),
        ("pacs_host: x", ["unknown setting pacs_host"]),
        ("quiet_s: -1", ["quiet_s is -1.0", "more than 0"]),
        ("quiet_s: many", ["quiet_s: expected float, found str"]),
        ("attempts: 2.5", ["attempts: expected int"]),
        ("attempts: true", ["attempts: expected int"]),
        ("shadow: 1", ["shadow: expected bool"]),
        ("results: sr", ["results: expected a list"]),
        ("gate: open", ["gate", "deploy"]),
        ("filter: MG", ["filter: expected KEYWORD: VALUE"]),
        ("quantile: 1", ["quantile is 1"]),
        ("checkpoint: /nowhere/best.pt", ["checkpoint: there is no /nowhere/best.pt"]),
        ("url: pacs/dicom-web", ["url: expected http"]),
        ("url: https://me:hush@pacs/dicom-web", ["user or password", "MAMMO_PACS_PASSWORD"]),
        ("- a\n- b", ["NAME: VALUE"]),
        ("a: [", ["no YAML", "line"]),
    ],
)
def test_what_is_wrong_is_named_with_the_way_out(given, tmp_path, text, words):
    config = tmp_path / "service.yaml"
    config.write_text(text)
    told = {name: value for name, value in given.items() if not text.startswith(name)}
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the words are checked below
        read_settings(DicomwebSettings, told, config)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "hush" not in str(caught.value)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(ValueError, match="missing --folder, --checkpoint, --url"):
        read_settings(DicomwebSettings, {})
    with pytest.raises(ValueError, match="no file"):
        read_settings(DicomwebSettings, {}, tmp_path / "nothing.yaml")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"allowed": []}, "nobody else is answered"),
        ({"ae_title": "A" * 17}, "AE title"),
        ({"pacs_ae_title": " "}, "AE title"),
        ({"tls_certificate": "best.pt"}, "both sides show a certificate"),
        ({"port": 0}, "port is 0"),
    ],
)
def test_a_dimse_front_needs_sane_titles_and_all_of_tls(dimse, tmp_path, change, words):
    change = {name: tmp_path / value if value == "best.pt" else value for name, value in change.items()}
    with pytest.raises(ValueError, match=words):
        read_settings(DimseSettings, dimse | change)


def test_a_dimse_front_listens_on_the_loopback_address_unless_told(dimse):
    assert read_settings(DimseSettings, dimse).host == "127.0.0.1"
