"""A service whose worker process makes a small report after a short sleep: python serve_stub.py FRONT SETTINGS.json."""

import json
import sys
import time
from pathlib import Path

from mammo.pipeline.hospital.service.messages import Answer, Ready


class Stub:
    """Writes one valid report, whose identifiers follow from the images; notes each run in a file."""

    def __init__(self, runs, seconds):
        self.runs, self.seconds = runs, seconds

    def __call__(self, task):
        if task is None:
            return Ready("stub")
        import hashlib
        import os

        import pydicom

        images = sorted(
            (pydicom.dcmread(path, stop_before_pixels=True) for path in task.paths), key=lambda i: i.SOPInstanceUID
        )
        job = hashlib.sha256(" ".join(image.SOPInstanceUID for image in images).encode()).hexdigest()
        time.sleep(self.seconds)
        report(images, job).save_as(Path(task.folder) / "sr.dcm", enforce_file_format=True)
        with open(self.runs, "a") as file:
            file.write(f"{job} {os.getpid()}\n")
        return Answer(job, "analysed")


def report(images, job):
    """A TID 1500 report that says only that it is there."""
    import uuid

    from highdicom import sr
    from pydicom.sr.codedict import codes

    def uid(part):
        return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, job + part).int}"

    observer = sr.ObserverContext(
        codes.DCM.Device, sr.DeviceObserverIdentifyingAttributes(uid=uid("device"), name="stub")
    )
    group = sr.MeasurementsAndQualitativeEvaluations(
        sr.TrackingIdentifier(uid=uid("group"), identifier="study"),
        finding_sites=[sr.FindingSite(anatomic_location=codes.SCT.Breast)],
        measurements=[sr.Measurement(codes.DCM.ProbabilityOfCancer, 0, codes.UCUM.Percent)],
        source_images=[sr.SourceImageForMeasurementGroup(images[0].SOPClassUID, images[0].SOPInstanceUID)],
    )
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=codes.SCT.Mammography,
        imaging_measurements=[group],
        referenced_images=images,
    )
    ds = sr.Comprehensive3DSR(
        evidence=images,
        content=content,
        series_instance_uid=uid("series"),
        series_number=9300,
        sop_instance_uid=uid("object"),
        instance_number=1,
        manufacturer="mammo",
    )
    ds.SeriesDescription = "AI structured report - research use only"
    return ds


def main():
    from mammo.pipeline.hospital.service import fronts
    from mammo.pipeline.hospital.service.configuration import read_settings
    from mammo.pipeline.hospital.service.settings import DicomwebSettings, DimseSettings

    front, told = sys.argv[1], json.loads(Path(sys.argv[2]).read_text())
    work = Stub(told.pop("runs"), told.pop("seconds"))
    if front == "dicomweb":
        fronts.serve_dicomweb(read_settings(DicomwebSettings, {}, _written(told)), work)
    else:
        fronts.serve_dimse(read_settings(DimseSettings, {}, _written(told)), work)


def _written(told):
    path = Path(sys.argv[2]).with_suffix(".yaml")
    path.write_text(json.dumps(told))  # JSON is YAML
    return path


if __name__ == "__main__":
    main()
