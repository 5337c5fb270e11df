"""Everything that the gate may have to say of an image, and what may follow from it."""

from __future__ import annotations

from monai.utils import StrEnum

__all__ = ["Outcome", "Reason"]


class Outcome(StrEnum):
    """What becomes of an image, from best to worst."""

    ACCEPT = "accept"
    WARN = "warn"
    REFUSE = "refuse"


class Reason(StrEnum):
    """What is worth knowing of an image before a network sees it.

    What cannot be read at all has a :class:`~mammo.transforms.errors.ReadFailure` instead, and is always refused.
    """

    # What kind of object it is.
    NOT_A_MAMMOGRAM = "not_a_mammogram"
    """SOP Class (0008,0016), Modality (0008,0060) or Body Part Examined (0018,0015) of something else."""
    SPECIMEN = "specimen"
    """Excised tissue: View Code Sequence (0054,0220), or Positioner Type (0018,1508) NONE."""
    TOMOSYNTHESIS = "tomosynthesis"
    """A stack, slice or projection: SOP Class, Image Type (0008,0008), Volumetric Properties (0008,9206)."""
    MULTI_FRAME = "multi_frame"
    """Number of Frames (0028,0008) is more than 1 and no frame was chosen."""
    CHOSEN_FRAME = "chosen_frame"
    """One frame of several, or their maximum, as the record asks for."""
    SYNTHETIC_2D = "synthetic_2d"
    """Computed from tomosynthesis (C-View, Insight 2D...): Image Type (0008,0008), Series Description (0008,103E)."""
    CONTRAST_ENHANCED = "contrast_enhanced"
    """Contrast-enhanced mammography other than its low-energy image: Image Type (0008,0008), values 3 to 5."""
    SECONDARY_CAPTURE = "secondary_capture"
    """SOP Class (0008,0016) is Secondary Capture: digitised film, but also screen shots and results of others."""
    NO_HEADER = "no_header"
    """Not DICOM: nothing of what follows from a header can be checked."""
    FOR_PROCESSING = "for_processing"
    """Presentation Intent Type (0008,0068): raw detector values, which look different from what is displayed."""
    UNKNOWN_INTENT = "unknown_intent"
    """Presentation Intent Type (0008,0068) is absent, as in digitised film."""

    # Which part of the body it shows.
    SIDE_UNKNOWN = "side_unknown"
    """Neither Image Laterality (0020,0062), Laterality (0020,0060) nor a text says left or right."""
    SIDE_CONFLICT = "side_conflict"
    """These attributes, or the dataset's table, contradict each other."""
    SIDE_DISAGREES = "side_disagrees"
    """The chest wall is not where this breast's is, and Patient Orientation (0020,0020) does not explain it."""
    ORIENTATION_DISAGREES = "orientation_disagrees"
    """The chest wall is not where Patient Orientation (0020,0020) says."""
    VIEW_UNKNOWN = "view_unknown"
    """Neither View Code Sequence (0054,0220), View Position (0018,5101) nor a text says which projection."""
    VIEW_NOT_STANDARD = "view_not_standard"
    """The projection is neither cranio-caudal (CC) nor medio-lateral oblique (MLO)."""
    VIEW_CONFLICT = "view_conflict"
    """These attributes, or the dataset's table, contradict each other."""
    SPOT_COMPRESSION = "spot_compression"
    """View Modifier Code Sequence (0054,0222), the paddle (0018,11A4) or a text."""
    MAGNIFICATION = "magnification"
    """View modifier, or Estimated Radiographic Magnification Factor (0018,1114) of 1.3 or more."""
    IMPLANT = "implant"
    """Breast Implant Present (0028,1300), or the dataset's table."""
    IMPLANT_DISPLACED = "implant_displaced"
    """View modifier: the implant is pushed back (Eklund view)."""
    SPECIAL_VIEW = "special_view"
    """Another view modifier that changes the picture: tangential, cleavage, axillary tail, rolled, or unknown."""
    PARTIAL_VIEW = "partial_view"
    """Partial View (0028,1350): the breast is larger than the detector."""
    BIOPSY = "biopsy"
    """Taken during a biopsy: Image Type (0008,0008), value 3, or the paddle (0018,11A4)."""

    # How it was stored.
    LOSSY = "lossy"
    """Lossy Image Compression (0028,2110), or a transfer syntax that is always lossy."""
    BEYOND_BITS_STORED = "beyond_bits_stored"
    """Pixel values need more bits than Bits Stored (0028,0101) names."""

    # What the pixels show.
    BURNED_IN_DECLARED = "burned_in_declared"
    """Burned In Annotation (0028,0301) is YES."""
    SIDE_MARKER = "side_marker"
    """One text-like region outside the breast, as side and view markers are."""
    BURNED_IN_TEXT = "burned_in_text"
    """Several text-like regions outside the breast: more than a side marker; may be names or dates."""
    MASK_EMPTY = "mask_empty"
    """No breast was found."""
    MASK_FULL_FRAME = "mask_full_frame"
    """No air was found: the breast fills the frame."""
    MASK_TWO_BREASTS = "mask_two_breasts"
    """A second region of similar size, or a chest wall on both sides."""
    MASK_CUT_OFF = "mask_cut_off"
    """The breast reaches the frame on both sides."""
    MASK_NO_WALL = "mask_no_wall"
    """No straight, bright edge on either side: not a whole breast, or not a breast."""
    MASK_SMALL = "mask_small"
    """The breast takes less than 5 % of the frame: perhaps not the breast was found."""
    OVER_CROPPED = "over_cropped"
    """The breast takes 90 % of the frame and more: the picture was cut into it."""
