"""Do images find their report, and reports their image? Vectors, recall beside chance, and pictures of both."""

from .inferer import ImageVectorInferer
from .matrix import similarity_figure
from .pairs import Level, Pair, pair_reports
from .sheets import image_sheet, report_sheet
from .writer import RetrievalWriter

__all__ = [
    "ImageVectorInferer",
    "Level",
    "Pair",
    "RetrievalWriter",
    "image_sheet",
    "pair_reports",
    "report_sheet",
    "similarity_figure",
]
