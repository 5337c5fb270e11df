"""Studies go in, results come back, through both fronts of the service, and nothing is done twice."""

import json

import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from dicomweb_client.session_utils import create_session_from_user_pass

FRONTS = ("dicomweb", "dimse")


@pytest.fixture
def bring(pacs, wait_for):
    """A study comes to the PACS, and to the service as the front has it."""

    def one(front, files):
        study = pacs.push(files)
        if front == "dimse":
            wait_for(lambda: pacs.route(study), "the PACS to route a study")
        return study

    return one


@pytest.mark.parametrize("front", FRONTS)
def test_a_result_comes_back_once_and_is_found_by_query_and_retrieved(pacs, serve, study_files, bring, wait_for, front):
    service = serve(front).start()
    files = study_files("a")
    study = bring(front, files)
    wait_for(lambda: service.states() == ["committed"], "the result")
    client = DICOMwebClient(pacs.url, session=create_session_from_user_pass(pacs.user, pacs.password))
    (found,) = client.search_for_instances(search_filters={"Modality": "SR"})
    uids = [found[tag]["Value"][0] for tag in ("0020000D", "0020000E", "00080018")]
    retrieved = client.retrieve_instance(*uids)
    (result,) = service.rows("SELECT folder FROM job")
    sent = pydicom.dcmread(service.folder / "results" / result[0] / "sr.dcm")
    assert retrieved == sent
    assert {item.ReferencedSOPInstanceUID for item in sent.CurrentRequestedProcedureEvidenceSequence[0]
            .ReferencedSeriesSequence[0].ReferencedSOPSequence}  # fmt: skip
    bring(front, files)
    if front == "dimse":
        wait_for(lambda: service.states() == ["committed", "same"], "the study to be recognised")
    else:
        wait_for(lambda: pacs.ask("/statistics")["CountInstances"] == 5, "nothing new")
    assert service.computed() == 1
    assert len(pacs.results(study)) == 1
    service.stop()


@pytest.mark.parametrize("front", FRONTS)
def test_a_late_image_makes_a_second_result_beside_the_first(pacs, serve, study_files, bring, wait_for, front):
    service = serve(front).start()
    files = study_files("b")
    bring(front, files[:3])
    wait_for(lambda: service.states() == ["committed"], "the first result")
    study = bring(front, files)
    wait_for(lambda: service.states() == ["committed"] * 2, "the second result")
    assert len({ds.SOPInstanceUID for ds in pacs.results(study)}) == 2
    service.stop()


@pytest.mark.parametrize("front", FRONTS)
def test_a_pacs_that_was_down_has_everything_in_the_end(pacs, serve, study_files, bring, wait_for, front):
    service = serve(front, seconds=3.0).start()
    studies = [bring(front, study_files(name)) for name in ("c", "d")]
    wait_for(lambda: "running" in service.states(), "the first study to be processed")
    pacs.stop()
    wait_for(lambda: service.computed() == 1, "a result with nobody to take it")
    wait_for(lambda: any(reason for (reason,) in service.rows("SELECT reason FROM job")), "a failure to send")
    if front == "dimse":
        wait_for(lambda: service.computed() == 2, "the second result")
    pacs.start()
    wait_for(lambda: service.states() == ["committed"] * 2, "both results in the PACS")
    assert [len(pacs.results(study)) for study in studies] == [1, 1]
    assert service.computed() == 2
    service.stop()


def test_shadow_mode_sends_nothing(pacs, serve, study_files, bring, wait_for):
    service = serve("dicomweb")
    told = json.loads(service.settings.read_text())
    service.settings.write_text(json.dumps(told | {"shadow": True}))
    service.start()
    study = bring("dicomweb", study_files("e"))
    wait_for(lambda: service.states() == ["kept"], "the result to be kept")
    assert pacs.results(study) == []
    service.stop()


def test_no_log_names_a_patient_a_study_or_the_password(pacs, serve, study_files, bring, wait_for):
    files = study_files("logged")
    services = [serve(front).start() for front in FRONTS]
    bring("dimse", files)
    for service in services:
        wait_for(lambda service=service: service.states()[:1] == ["committed"], "results")
        service.stop()
    header = pydicom.dcmread(files[0], stop_before_pixels=True)
    secret = [str(header.PatientID), "Phantom^", header.StudyInstanceUID, header.SOPInstanceUID, pacs.password]
    for service in services:
        logs = [service.out, service.folder / "log.jsonl", service.folder / "audit.jsonl"]
        told = "".join(path.read_text() for path in logs)
        assert len(told) > 1000
        assert not [text for text in secret if text in told]
