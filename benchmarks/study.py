"""A four-view study from DICOM files to results, beside reading and the network alone; many studies and their memory.

    python benchmarks/study.py [--quick]

The peer is what nobody can do without: `pydicom`'s decoding and one forward pass of the same network, four times. The
engine's own reading is faster than pydicom's and gives some of that back for the gate, the breast mask, the map, the
regions, the DICOM objects and the page. Rounds alternate; medians.
"""

import argparse
import tempfile
import time
from pathlib import Path

import pydicom
import torch
from mammo import __version__
from mammo.networks import MammogramClassifier, SwinEncoder
from mammo.pipeline.hospital.decode import here
from mammo.pipeline.hospital.model import HospitalModel
from mammo.pipeline.hospital.process import process_files
from mammo.pipeline.hospital.result import ModelStamp
from mammo.pipeline.hospital.study import StudyEngine
from mammo.pipeline.phantom import write_study
from mammo.transforms import PrepareMammogramd
from measuring import Row, compared, finish, middle, resident, timings

SIZE = (224, 224)


def main() -> None:
    """Print two tables and, last, a JSON object of the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small images, few studies")
    parser.add_argument("--size", default=None, help="of the Swin; base, or micro with --quick")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    size = arguments.size or ("micro" if arguments.quick else "base")
    rounds, studies = (3, 10) if arguments.quick else (7, 200)
    model = random_model(size)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        written = write_study(root / "study", index=1, seed=77, preset="demo", pixel_mm=0.4 if arguments.quick else 0.1)
        paths = [path for path, _ in written]
        show_regions(model, paths)
        ratios, rows = compare(model, paths, root, rounds)
        ratios |= throughput(random_model("micro"), root, studies)
    finish({"swin": size, "studies": studies, **ratios}, rows)


def random_model(size: str) -> HospitalModel:
    """A Swin with random weights: time does not depend on them."""
    torch.manual_seed(0)
    network = MammogramClassifier(SwinEncoder(size=size))
    torch.nn.init.normal_(network.head.weight)
    transform = PrepareMammogramd("image", spatial_size=SIZE)
    return HospitalModel(network, transform, ModelStamp("random", "none", "0", __version__, "0" * 64))


def show_regions(model: HospitalModel, paths: list[Path]) -> None:
    """Turn the random head round where its map is zero: results with regions cost more than those without."""
    result = StudyEngine(model, decode=here(model.transform)).process(paths)
    if not any(view.regions for view in result.views):
        with torch.no_grad():
            model.network.head.weight.neg_()


def compare(model: HospitalModel, paths: list[Path], root: Path, rounds: int) -> tuple[dict[str, float], list[Row]]:
    """Print seconds of decoding, of the network, and of all of a study; return the ratios and rows."""
    engine = StudyEngine(model, decode=here(model.transform))
    image = torch.rand(1, 2, *SIZE)

    def decode() -> None:
        for path in paths:
            _ = pydicom.dcmread(path).pixel_array

    def forward() -> None:
        with torch.inference_mode():
            for _ in paths:
                model.network(image)

    ways = {
        "decoding (pydicom)": decode,
        "network": forward,
        "engine, no objects": lambda: engine.process(paths),
        "all: SR, overlay, GSPS, page": lambda: process_files(paths, engine, root / "out"),
    }
    taken = timings(ways, rounds)
    least_rounds = zip(taken["decoding (pydicom)"], taken["network"], strict=True)
    taken["least"] = [decoding + network for decoding, network in least_rounds]
    medians = middle(taken)
    least = medians.pop("least")
    shape = pydicom.dcmread(paths[0], stop_before_pixels=True)
    print(f"four views of {shape.Rows} x {shape.Columns}, one thread, medians of {rounds} rounds")
    for name, seconds in medians.items():
        print(f"  {name:<30}{1000 * seconds:8.0f} ms {seconds / least:6.2f} x decoding and network")
    peer, libraries = "decoding and one forward pass", ("pydicom", "torch")
    rows = [
        compared(f"a study of four views, {way}", taken, way, "least", peer, *libraries) for way in list(medians)[2:]
    ]
    return {"engine_ratio": medians["engine, no objects"] / least, "ratio": list(medians.values())[-1] / least}, rows


def throughput(model: HospitalModel, root: Path, studies: int) -> dict[str, float]:
    """Studies an hour, and the resident memory at a quarter of them and at the end."""
    engine = StudyEngine(model, decode=here(model.transform))
    paths = [path for path, _ in write_study(root / "small", index=2, seed=77, preset="demo")]
    held: list[float] = []
    begin = time.perf_counter()
    for number in range(studies):
        process_files(paths, engine, root / "many" / f"{number:04d}")
        held.append(resident("VmRSS"))
    seconds = time.perf_counter() - begin
    early, late = held[studies // 4], held[-1]
    print(f"{studies} studies of four small views: {3600 * studies / seconds:.0f} an hour; "
          f"memory {early:.0f} MB after a quarter, {late:.0f} MB at the end")  # fmt: skip
    return {"studies_an_hour": 3600 * studies / seconds, "memory_growth": late / early}


if __name__ == "__main__":
    main()
