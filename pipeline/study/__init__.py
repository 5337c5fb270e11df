"""Studies: many runs by one command, and what they say together."""

from .ablation import choose_setting, grid, run_ablation, run_twins, twins
from .cross_validation import CrossValidation
from .folds import fold_settings
from .label_efficiency import Arm, LabelEfficiency, arms_of
from .pretraining_arms import PRETRAININGS, pretraining_arms
from .recipe import Recipe
from .runner import Outcome, Outcomes, run_stages
from .setting import Setting
from .stage import Stage, in_order
from .variants import Variant, Variants

__all__ = [
    "PRETRAININGS",
    "Arm",
    "CrossValidation",
    "LabelEfficiency",
    "Outcome",
    "Outcomes",
    "Recipe",
    "Setting",
    "Stage",
    "Variant",
    "Variants",
    "arms_of",
    "choose_setting",
    "fold_settings",
    "grid",
    "in_order",
    "pretraining_arms",
    "run_ablation",
    "run_stages",
    "run_twins",
    "twins",
]
