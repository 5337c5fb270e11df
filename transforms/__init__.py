"""Pixels to pixels: reading, finding, orienting, cropping, resizing and hiding parts of mammograms."""

from .block_masking import BlockMasking
from .breast_mask import BreastMask, BreastMaskd
from .clahe import CLAHE, CLAHEd
from .crop import CropToBreast, CropToBreastd
from .crop_region import CropRegion, CropRegiond, PrepareLesiond
from .dicom import Backend, LoadMammogramd, MammogramReader
from .errors import MammogramError, ReadFailure
from .geometry import RecordGeometryd, to_grid_box, to_original_box
from .laterality import ChestWallLeft, ChestWallLeftd
from .pectoral import PectoralMuscle, PectoralQuality, pectoral_muscle
from .prepare import PrepareMammogramd
from .resize import ResizeMammogram, ResizeMammogramd, ResizeMode
from .resized_crop import RandResizedCropd
from .segmentation import MaskQuality
from .view import Laterality, View, ViewModifier

__all__ = [
    "CLAHE",
    "Backend",
    "BlockMasking",
    "BreastMask",
    "BreastMaskd",
    "CLAHEd",
    "ChestWallLeft",
    "ChestWallLeftd",
    "CropRegion",
    "CropRegiond",
    "CropToBreast",
    "CropToBreastd",
    "Laterality",
    "LoadMammogramd",
    "MammogramError",
    "MammogramReader",
    "MaskQuality",
    "PectoralMuscle",
    "PectoralQuality",
    "PrepareLesiond",
    "PrepareMammogramd",
    "RandResizedCropd",
    "ReadFailure",
    "RecordGeometryd",
    "ResizeMammogram",
    "ResizeMammogramd",
    "ResizeMode",
    "View",
    "ViewModifier",
    "pectoral_muscle",
    "to_grid_box",
    "to_original_box",
]
