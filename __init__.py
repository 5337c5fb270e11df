"""mammo: MONAI-native self-supervised and label-efficient mammography AI. Research use only."""

__version__ = "0.1.0"
