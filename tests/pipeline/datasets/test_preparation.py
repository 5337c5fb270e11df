"""What fills a store does what the bundle's stages do."""

import pytest
from mammo.bundles import bundle_root
from mammo.pipeline.datasets.fingerprint import transform_fingerprint
from mammo.pipeline.datasets.prepare import Preparation
from monai.bundle import ConfigParser


@pytest.mark.parametrize("options", [{}, {"margin_px": 10000, "background": "zero"}])
@pytest.mark.parametrize("stage", ["pretrain", "finetune", "evaluate", "explain", "detect"])
def test_a_store_holds_what_the_stages_look_for(stage, options):
    parser = ConfigParser(ConfigParser.load_config_files(str(bundle_root("swin_mim") / "configs" / f"{stage}.yaml")))
    for name, value in options.items():
        parser[name] = value
    ours = Preparation(**options).transform()
    assert transform_fingerprint([ours]) == transform_fingerprint(parser.get_parsed_content("load"))
