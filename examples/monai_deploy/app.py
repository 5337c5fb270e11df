"""A MONAI Deploy application of one operator: a folder of DICOM in, a folder of results out, as ``mammo process``.

    python app.py -i exam/ -o results/ -m breast_classification/

``-m`` is a bundle that ``mammo bundle export`` wrote; result kinds, gate and device stand in ``app.yaml``. Of one study
the results lie in the output folder itself, of several in ``0001`` and so on. Exit status: 0 all analysed, 3 one could
not be analysed, 4 one failed, 1 the input as a whole is wrong, 2 misuse. Research use only.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mammo.pipeline.gate import gate_policy
from mammo.pipeline.hospital.loading import load_model
from mammo.pipeline.hospital.process import EXIT_STATUS, process_files, studies_of
from mammo.pipeline.hospital.result import StudyStatus
from mammo.pipeline.hospital.results import check_kinds
from mammo.pipeline.hospital.service.log import LIBRARIES, place_of
from mammo.pipeline.hospital.study import StudyEngine
from mammo.pipeline.inference import find_images
from mammo.pipeline.packaging.names import INFERENCE
from monai.deploy.conditions import CountCondition
from monai.deploy.core import AppContext, Application, Operator, parse_args
from monai.deploy.core.arg_parser import set_up_logging

__all__ = ["MammoApp", "MammoStudyOperator", "bundle_in"]


class MammoStudyOperator(Operator):
    """Every study below a folder: gate, network, DICOM objects, page and ``result.json``.

    The stock operators cannot do it: they read one image of the first series, want a plane's position, and log headers.

    Args:
        fragment: the application, then conditions and the name, as every operator takes them.
        images: folder of DICOM files, or one file.
        out: folder of the results, made where missing.
        engine: what processes a study.
        kinds: of DICOM objects.

    Attributes:
        status: exit status; that of a failure until all studies are answered.
    """

    def __init__(
        self,
        fragment: Any,
        *args: Any,
        images: Path,
        out: Path,
        engine: StudyEngine,
        kinds: Sequence[str],
        name: str,
    ) -> None:
        self.images, self.out, self.engine, self.kinds = images, out, engine, kinds
        self.status = EXIT_STATUS[StudyStatus.FAILED]
        super().__init__(fragment, *args, name=name)  # last: it calls setup

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Once a run; there are no ports."""
        try:
            self.status = self._process()
        except Exception as error:  # its text may quote a header or a folder's name
            print(f"failed: {type(error).__name__} in {place_of(error.__traceback__)}", file=sys.stderr)

    def _process(self) -> int:
        studies = studies_of(find_images(self.images))
        statuses = []
        for number, paths in enumerate(studies, start=1):
            folder = self.out if len(studies) == 1 else self.out / f"{number:04d}"
            result = process_files(paths, self.engine, folder, self.kinds)
            print(f"study {number} of {len(studies)}: {result.status.value}, {len(result.scored())} images scored")
            statuses.append(EXIT_STATUS[result.status])
        print("for research use only" if statuses else "there is no image in the input folder (-i)")
        return max(statuses, default=1)


class MammoApp(Application):
    """The operator alone; ``app.yaml`` beside this file, or ``HOLOSCAN_CONFIG_PATH``, holds its settings."""

    def compose(self) -> None:
        self.add_operator(self.study)

    def prepare(self, context: AppContext) -> None:
        """Load the model, so that what is wrong with it or with the settings is said before anything runs.

        Raises:
            ValueError: a setting or the model folder.
        """
        self.config(str(Path(__file__).with_name("app.yaml")))
        settings = self.kwargs("mammo_study")
        if missing := {"results", "gate", "device"} - set(settings):
            raise ValueError(f"the configuration has no mammo_study: {', '.join(sorted(missing))}; see app.yaml")
        kinds = check_kinds(settings["results"])
        model = load_model(bundle_in(Path(context.model_path)), device=settings["device"])
        engine = StudyEngine(model, policy=gate_policy(settings["gate"]))
        images, out = Path(context.input_path), Path(context.output_path)
        if not images.exists():
            raise ValueError("the input folder is not there; give it with -i or HOLOSCAN_INPUT_PATH")
        once = CountCondition(self, 1)
        self.study = MammoStudyOperator(self, once, name="study", images=images, out=out, engine=engine, kinds=kinds)


def bundle_in(folder: Path) -> Path:
    """The exported bundle that ``folder`` is or, as in a packaged application, the only one in it.

    Raises:
        ValueError: there is none, or several.
    """
    found = [path.parents[1] for pattern in (INFERENCE, f"*/{INFERENCE}") for path in folder.glob(pattern)]
    if len(found) != 1:
        raise ValueError(
            f"{len(found)} bundles in {folder}, expected one; give one that mammo bundle export wrote with -m or "
            "HOLOSCAN_MODEL_PATH"
        )
    return found[0]


def main() -> int:
    """Run the application; the exit status."""
    arguments = parse_args()
    set_up_logging(arguments.log_level)
    # Whatever -l asks for: what these libraries warn of, and Python's warnings, quote headers. Of children too.
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    os.environ["PYTHONWARNINGS"] = "ignore"
    warnings.simplefilter("ignore")
    app = MammoApp()
    try:
        # Not init_app_context, which logs the folders' names.
        app.prepare(AppContext({name: value for name, value in vars(arguments).items() if value}))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    app.run()
    return app.study.status


if __name__ == "__main__":
    sys.exit(main())
