"""The DIMSE front on the loopback address: who is answered, what is kept, and what peers cannot do to it."""

import gc
import resource
import shutil
import socket
import ssl
import struct
import subprocess
import time
from types import SimpleNamespace

import pytest
from mammo.pipeline.hospital.service.dimse import Scp, configure_pynetdicom
from mammo.pipeline.hospital.service.dimse_pacs import DimsePacs
from mammo.pipeline.hospital.service.retry import PacsError
from mammo.pipeline.hospital.service.tls import tls_contexts
from pydicom.dataset import Dataset
from pynetdicom import AE, _config, evt
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification

# pynetdicom leaves the socket of a connection that came to nothing to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT = "1.2.840.10008.1.2.1"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
PRIVATE = "1.3.46.670589.11.0.0.12.1"
LABELMAP = "1.2.840.10008.5.1.4.1.1.66.7"


@pytest.fixture(autouse=True, scope="module")
def collected():
    yield
    gc.collect()


@pytest.fixture
def library(monkeypatch, desk):
    """The library's settings, put back afterwards."""
    import tempfile

    for name in dir(_config):
        if name.isupper():
            monkeypatch.setattr(_config, name, getattr(_config, name))
    monkeypatch.setattr(tempfile, "tempdir", tempfile.tempdir)
    configure_pynetdicom(desk.spool.incoming)


@pytest.fixture
def start(library, desk, arrivals):
    """Starts a front that answers PACS and OTHER."""
    closers = []

    def one(tls=None, **options):
        answers = []
        scp = Scp(
            desk,
            arrivals,
            lambda ticket, missing: answers.append((ticket, missing)) or True,
            ae_title="MAMMO",
            allowed=["PACS", "OTHER"],
            **options,
        )
        closers.append(scp.open("127.0.0.1", 0, tls))
        scp.answers = answers
        return scp

    yield one
    for close in closers:
        close()


@pytest.fixture
def call(start):
    """Associates with a front as a PACS does."""
    opened = []

    def one(contexts, scp=None, calling="PACS", called="MAMMO", **options):
        ae = AE(calling)
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 10
        opened.append(ae.associate("127.0.0.1", (scp or start()).port, contexts, ae_title=called, **options))
        return opened[-1]

    yield one
    for association in opened:
        if association.is_established:
            association.release()


def mammograms(make):
    return [build_context(make.mammogram, EXPLICIT), build_context(make.report, EXPLICIT)]


def jobs(desk):
    return desk.jobs.table.jobs("1 = 1")


def test_who_is_not_named_is_not_answered(call, start, desk):
    scp = start()
    assert call([build_context(Verification)], scp).send_c_echo().Status == 0
    assert call([build_context(Verification)], scp, calling="STRANGER").is_rejected
    assert call([build_context(Verification)], scp, called="ANY-SCP").is_rejected
    assert "STRANGER" in (desk.folder / "audit.jsonl").read_text()


def test_a_stranger_cannot_make_the_audit_trail_grow(call, start, desk, monkeypatch):
    scp = start()
    for _ in range(5):
        assert call([build_context(Verification)], scp, calling="STRANGER").is_rejected
    assert (desk.folder / "audit.jsonl").read_text().count("association_rejected") == 1
    monkeypatch.setattr("mammo.pipeline.hospital.service.dimse._TELL_REFUSALS_S", 0.0)
    assert call([build_context(Verification)], scp, calling="STRANGER").is_rejected
    assert '"refused":5' in (desk.folder / "audit.jsonl").read_text()


def test_a_mammogram_is_kept_before_it_is_answered_and_other_objects_are_dropped(call, desk, make):
    association = call(mammograms(make))
    ds = make.dicom()
    assert association.send_c_store(ds).Status == 0
    assert association.send_c_store(make.dicom(instance="1.2.3.9", sop_class=make.report)).Status == 0
    (job,) = jobs(desk)
    (image,) = desk.jobs.images(job)
    kept = desk.spool.path(job.study, image)
    assert desk.names.instance("1.2.3.4") == image
    assert ds.PixelData in kept.read_bytes()
    assert list(desk.spool.incoming.iterdir()) == []


def test_our_own_result_that_comes_back_is_dropped(call, desk, make):
    ours = make.dicom(Manufacturer="mammo", SeriesDescription="AI overlay - research use only")
    assert call(mammograms(make)).send_c_store(ours).Status == 0
    assert jobs(desk) == []


def test_every_storage_class_and_syntax_is_accepted_but_not_deflated(call, make):
    contexts = [
        build_context(make.mammogram, [DEFLATED, JPEG_LOSSLESS]),
        build_context(make.mammogram, DEFLATED),
        build_context(PRIVATE, EXPLICIT),
        build_context(LABELMAP, EXPLICIT),
        build_context("1.2.840.10008.5.1.4.1.2.2.1", EXPLICIT),  # a query
    ]
    association = call(contexts)
    accepted = {(str(c.abstract_syntax), str(c.transfer_syntax[0])) for c in association.accepted_contexts}
    assert accepted == {(make.mammogram, JPEG_LOSSLESS), (PRIVATE, EXPLICIT), (LABELMAP, EXPLICIT)}
    assert len(association.rejected_contexts) == 2


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize("uid", ["../../../etc/cron.d/x", "not a uid", ""])
def test_a_study_whose_uid_is_none_is_refused(call, desk, make, uid):
    ds = make.dicom()
    ds["StudyInstanceUID"]._value = uid
    assert call(mammograms(make)).send_c_store(ds).Status == 0xC000
    assert jobs(desk) == []
    assert list(desk.spool.images.iterdir()) == []


def test_a_data_set_that_is_another_is_refused(call, make, monkeypatch):
    from pynetdicom.dimse_primitives import C_STORE

    association = call(mammograms(make))
    real = C_STORE.AffectedSOPInstanceUID
    monkeypatch.setattr(
        C_STORE, "AffectedSOPInstanceUID", property(real.fget, lambda self, uid: real.fset(self, "1.2.9"))
    )
    assert association.send_c_store(make.dicom()).Status == 0xA900


def test_a_full_disk_is_an_answer_and_nothing_is_noted(call, desk, make, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    association = call(mammograms(make))
    with monkeypatch.context() as patch:
        patch.setattr("mammo.pipeline.hospital.service.spool.sync_file", full)
        assert association.send_c_store(make.dicom()).Status == 0xA700
    assert jobs(desk) == []
    assert association.send_c_store(make.dicom()).Status == 0
    assert len(jobs(desk)) == 1


def oversized(port, kind=1):
    """Announces a PDU of 4 GB and sends what it can; returns how much that was."""
    sent = 0
    with socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
        try:
            peer.sendall(struct.pack(">BBL", kind, 0, 0xFFFFFFF0))
            for _ in range(256):
                peer.sendall(bytes(1 << 20))
                sent += 1 << 20
        except OSError:
            pass
    return sent


def test_an_oversized_pdu_closes_the_connection_and_costs_no_memory(call, start, make):
    scp = start()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    assert oversized(scp.port) < 64 << 20  # what the kernel buffered
    assert time.monotonic() - began < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB
    assert call(mammograms(make), scp).send_c_store(make.dicom()).Status == 0


def test_an_object_without_end_is_broken_off(call, start, desk, make):
    scp = start(most_bytes=1 << 20)
    association = call(mammograms(make), scp)
    large = make.dicom(instance="1.2.3.8")
    large.PixelData = bytes(8 << 20)
    large.Rows, large.Columns = 4096, 1024
    assert "Status" not in association.send_c_store(large)
    assert jobs(desk) == []
    assert call(mammograms(make), scp).send_c_store(make.dicom()).Status == 0
    assert "too_large" in (desk.folder / "audit.jsonl").read_text()


def test_an_endless_message_to_another_service_is_broken_off(call, start):
    scp = start()
    association = call([build_context(StorageCommitmentPushModel)], scp)
    report = Dataset()
    report.TransactionUID = "1.2.3"
    report.RetrieveURI = "x" * (4 << 20)  # UR, as long as one likes
    status, _ = association.send_n_action(report, 1, StorageCommitmentPushModel, "1.2.840.10008.1.20.1.1")
    assert "Status" not in status
    assert call([build_context(Verification)], scp).send_c_echo().Status == 0


def test_a_report_about_commitment_is_passed_on(call, start):
    scp = start()
    association = call([build_context(StorageCommitmentPushModel)], scp)
    for failed, kind in ((0, 1), (2, 2), (0, 2)):  # the last one says that some are missing, and not which
        report = Dataset()
        report.TransactionUID = f"2.25.{failed}"
        report.FailedSOPSequence = [Dataset() for _ in range(failed)]
        status, _ = association.send_n_event_report(report, kind, StorageCommitmentPushModel, "1.2.840.10008.1.20.1.1")
        assert status.Status == 0
    assert scp.answers == [("2.25.0", 0), ("2.25.2", 2), ("2.25.0", 1)]


def test_an_address_that_is_taken_is_named(start):
    scp = start()
    with pytest.raises(ValueError, match="see --host and --port"):
        scp.open("127.0.0.1", scp.port)


# --- the PACS that results go to ---


@pytest.fixture
def pacs(library, make):
    """A PACS that stores and commits as told."""
    state = SimpleNamespace(stored=[], asked=[], status=0, classes=[make.report], commits=True, servers=[])

    def store(event):
        state.stored.append(event.request.AffectedSOPInstanceUID)
        return state.status

    def action(event):
        state.asked.append(event.action_information)
        return 0, None

    def begin(allowed=(), tls=None):
        ae = AE("PACS")
        ae.require_calling_aet = list(allowed)
        for sop_class in state.classes:
            ae.add_supported_context(sop_class, EXPLICIT)
        if state.commits:
            ae.add_supported_context(StorageCommitmentPushModel)
        handlers = [(evt.EVT_C_STORE, store), (evt.EVT_N_ACTION, action)]
        state.servers.append(ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers, ssl_context=tls))
        state.port = state.servers[-1].server_address[1]
        return state

    state.begin = begin
    yield state
    for server in state.servers:
        server.shutdown()


@pytest.fixture
def objects(make, tmp_path):
    return [make.write(tmp_path / f"{n}.dcm", instance=f"1.2.3.{n}", sop_class=make.report) for n in (1, 2)]


def destination(pacs, **options):
    return DimsePacs("127.0.0.1", pacs.port, "PACS", ours="MAMMO", **options)


def reason_of(function, *arguments):
    with pytest.raises(PacsError) as caught:
        function(*arguments)
    return caught.value.reason, caught.value.passes


def test_objects_are_stored_and_commitment_is_asked_for(pacs, objects):
    pacs.begin()
    destination(pacs).send(objects)
    assert pacs.stored == ["1.2.3.1", "1.2.3.2"]
    assert not destination(pacs).confirm(objects, "2.25.7")
    (asked,) = pacs.asked
    assert asked.TransactionUID == "2.25.7"
    assert [item.ReferencedSOPInstanceUID for item in asked.ReferencedSOPSequence] == pacs.stored


def test_a_pacs_that_says_no_is_told_from_one_that_is_not_there(pacs, objects):
    pacs.begin()
    pacs.status = 0xA700
    assert reason_of(destination(pacs).send, objects) == ("store_a700", False)
    pacs.begin(allowed=["SOMEBODY"])
    assert reason_of(destination(pacs).send, objects) == ("association_rejected", True)
    pacs.port = 9
    assert reason_of(destination(pacs).send, objects) == ("pacs_unreachable", True)


def test_what_the_pacs_has_already_is_no_error_and_a_refusal_keeps_no_other(pacs, objects):
    pacs.begin()
    pacs.status = 0x0111
    destination(pacs).send(objects)
    pacs.status = 0xA700
    assert reason_of(destination(pacs).send, objects) == ("store_a700", False)
    assert pacs.stored == ["1.2.3.1", "1.2.3.2"] * 2


def test_a_pacs_that_takes_nothing_of_it_is_there_all_the_same(pacs, objects, make):
    pacs.classes, pacs.commits = [make.mammogram], False
    pacs.begin()
    assert reason_of(destination(pacs).send, objects) == ("sop_class_refused", False)
    assert reason_of(destination(pacs).confirm, objects, "2.25.7") == ("no_storage_commitment", False)


def test_what_of_the_objects_is_accepted_is_stored_also_where_another_is_not(pacs, objects, make, tmp_path):
    other = make.write(tmp_path / "0.dcm", instance="1.2.3.3", sop_class=LABELMAP)
    pacs.begin()
    assert reason_of(destination(pacs).send, [other, *objects]) == ("sop_class_refused", False)
    assert pacs.stored == ["1.2.3.1", "1.2.3.2"]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """One authority with certificates of both sides, and a stranger's."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    for authority in ("ca", "foreign"):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={authority}",
                "-keyout", f"{authority}.key", "-out", f"{authority}.pem")  # fmt: skip
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:pacs.hospital")
    for name, authority in (("service", "ca"), ("pacs", "ca"), ("stranger", "foreign")):
        openssl(
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            f"/CN={name}",
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.csr",
        )
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key",
                "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", f"{name}.pem")  # fmt: skip
    return lambda name, ca="ca": tls_contexts(folder / f"{name}.pem", folder / f"{name}.key", folder / f"{ca}.pem")


def test_only_a_certificate_of_the_named_authority_is_let_in(certificates, start, call):
    server, _ = certificates("service")
    scp = start(tls=server)
    echo = [build_context(Verification)]
    good = call(echo, scp, tls_args=(certificates("pacs")[1], "127.0.0.1"))
    assert good.send_c_echo().Status == 0
    stranger = certificates("stranger")[1]
    stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE
    assert not call(echo, scp, tls_args=(stranger, "127.0.0.1")).is_established
    assert not call(echo, scp).is_established  # plain DICOM


def test_a_silent_peer_holds_up_no_handshake(certificates, start, call):
    scp = start(tls=certificates("service")[0])
    with socket.create_connection(("127.0.0.1", scp.port)):
        association = call([build_context(Verification)], scp, tls_args=(certificates("pacs")[1], "127.0.0.1"))
        assert association.send_c_echo().Status == 0


def test_results_go_only_to_the_pacs_whose_certificate_is_known(certificates, pacs, objects):
    pacs.begin(tls=certificates("pacs")[0])
    destination(pacs, tls=certificates("service")[1]).send(objects)
    destination(pacs, tls=certificates("service")[1], tls_host="pacs.hospital").send(objects)
    assert reason_of(destination(pacs, tls=certificates("service")[1], tls_host="other.hospital").send, objects)[1]
    pacs.begin(tls=certificates("stranger", "ca")[0])
    pacs.stored.clear()
    assert reason_of(destination(pacs, tls=certificates("service")[1]).send, objects)[1]
    assert pacs.stored == []


def test_files_that_do_not_belong_together_are_named(certificates, tmp_path):
    (tmp_path / "x").write_text("no certificate")
    with pytest.raises(ValueError, match="expected PEM"):
        tls_contexts(tmp_path / "x", tmp_path / "x", tmp_path / "x")
