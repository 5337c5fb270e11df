"""SOP classes (0008,0016) in which archives hold mammograms, by what they say of the pixels."""

from pydicom.uid import (
    BreastProjectionXRayImageStorageForPresentation,
    BreastProjectionXRayImageStorageForProcessing,
    BreastTomosynthesisImageStorage,
    ComputedRadiographyImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalMammographyXRayImageStorageForProcessing,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
)

__all__ = ["FOR_PRESENTATION", "FOR_PROCESSING", "IMAGE_CLASSES", "SECONDARY_CAPTURES"]

FOR_PRESENTATION = (DigitalMammographyXRayImageStorageForPresentation, DigitalXRayImageStorageForPresentation)
FOR_PROCESSING = (DigitalMammographyXRayImageStorageForProcessing, DigitalXRayImageStorageForProcessing)
SECONDARY_CAPTURES = (
    SecondaryCaptureImageStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
)
IMAGE_CLASSES = (
    *FOR_PRESENTATION,
    *FOR_PROCESSING,
    BreastTomosynthesisImageStorage,
    BreastProjectionXRayImageStorageForPresentation,
    BreastProjectionXRayImageStorageForProcessing,
    ComputedRadiographyImageStorage,
    *SECONDARY_CAPTURES,
)
"""All of them."""
