"""The whole way with the real engine and the real command line; the network's weights are random."""

import json
import sys

import pydicom
import pytest
import yaml

COMMAND = "import sys; from mammo.pipeline.cli import main; sys.exit(main())"
OBJECTS = {
    "1.2.840.10008.5.1.4.1.1.88.34",  # Comprehensive 3D SR
    "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture
    "1.2.840.10008.5.1.4.1.1.11.1",  # Grayscale Softcopy Presentation State
}


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """A run folder of the smallest classifier."""
    import torch
    from mammo.networks import MammogramClassifier, SwinEncoder

    run = tmp_path_factory.mktemp("run")
    (run / "checkpoints").mkdir()
    options = {
        "size": "micro",
        "image_size": [128, 64],
        "image_mean": 0.449,
        "image_std": 0.226,
        "tasks": ["pathology"],
    }
    (run / "config.yaml").write_text(yaml.safe_dump(options))
    torch.manual_seed(0)
    network = MammogramClassifier(SwinEncoder(size="micro", image_mean=0.449, image_std=0.226))
    torch.save(network.state_dict(), run / "checkpoints" / "best.pt")
    return run / "checkpoints" / "best.pt"


@pytest.fixture
def begin(serve, checkpoint):
    """Starts `mammo serve FRONT --config FILE`."""

    def one(front):
        service = serve(front)
        told = json.loads(service.settings.read_text())
        told = {name: value for name, value in told.items() if name not in ("runs", "seconds")}
        service.settings.write_text(json.dumps(told | {"checkpoint": str(checkpoint)}))
        return service.start([sys.executable, "-c", COMMAND, "serve", front, "--config", service.settings])

    return one


def check(pacs, study, files, outcome):
    """Result objects of a study: the usual set, all about its images and its patient."""
    results = pacs.results(study)
    header = pydicom.dcmread(files[0], stop_before_pixels=True)
    assert {ds.SOPClassUID for ds in results} >= (OBJECTS if outcome == "analysed" else set())
    assert len({ds.SOPInstanceUID for ds in results}) == len(results) > 0
    for ds in results:
        assert (ds.PatientID, ds.StudyInstanceUID) == (header.PatientID, header.StudyInstanceUID)
        assert ds.SeriesDescription.startswith("AI ")
        assert "research use only" in ds.SeriesDescription
    return results


@pytest.mark.timeout(900)
@pytest.mark.parametrize("front", ["dicomweb", "dimse"])
def test_a_phantom_study_comes_back_with_its_results(pacs, begin, study_files, wait_for, front):
    service, files = begin(front), study_files(f"real-{front}")
    study = pacs.push(files)
    if front == "dimse":
        wait_for(lambda: pacs.route(study), "the PACS to route a study")
    wait_for(lambda: service.states() == ["committed"], "results", 400)
    ((outcome, result, folder),) = service.rows("SELECT outcome, result, folder FROM job")
    assert outcome == "analysed"
    record = json.loads((service.folder / "results" / folder / "result.json").read_text())
    assert (record["job"], len(record["views"])) == (result, 4)
    held = {ds.SOPInstanceUID for ds in check(pacs, study, files, outcome)}
    sent = {pydicom.dcmread(path).SOPInstanceUID for path in (service.folder / "results" / folder).glob("*.dcm")}
    assert held == sent
    service.stop()


@pytest.mark.timeout(900)
def test_the_report_of_a_study_with_a_late_image_names_the_first_one(pacs, begin, study_files, wait_for):
    service, files = begin("dicomweb"), study_files("late")
    pacs.push(files[:3])
    wait_for(lambda: service.states() == ["committed"], "the first results", 400)
    study = pacs.push(files)
    wait_for(lambda: service.states() == ["committed"] * 2, "the second results", 400)
    reports = [ds for ds in pacs.results(study) if ds.Modality == "SR"]
    first, second = sorted(reports, key=lambda ds: "PredecessorDocumentsSequence" in ds)
    (series,) = second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence
    assert [item.ReferencedSOPInstanceUID for item in series.ReferencedSOPSequence] == [first.SOPInstanceUID]
    assert "PredecessorDocumentsSequence" not in first
    service.stop()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("front", ["dicomweb", "dimse"])
def test_a_real_study_comes_back_with_its_results(pacs, begin, real_data, wait_for, front):
    files = sorted((real_data / "dicom" / "derived" / "cesm_P12").glob("*.dcm"))
    service = begin(front)
    study = pacs.push(files)
    if front == "dimse":
        wait_for(lambda: pacs.route(study), "the PACS to route a study")
    wait_for(lambda: service.states() == ["committed"], "results", 400)
    ((outcome,),) = service.rows("SELECT outcome FROM job")
    assert outcome in ("analysed", "not_analysed")
    check(pacs, study, files, outcome)
    service.stop()
