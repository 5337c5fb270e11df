"""Images and sentences in one space: batches, zero-shot, Mammo-FActOR, and the verbs that ask by sentences."""

from .batches import PrepareImageTextBatch, collate_pairs, report_tokenizer, text_encoder, text_ids
from .factor import attribute_vectors, factor_network, sentence_vector, unnamed_text, whole_loss, with_attribute
from .prompt_scores import PromptScoreWriter
from .prompted import ZeroShotWeights, asked_prompts, read_asked
from .rival import classifier_of_run, image_text_model, rival_classifier
from .zero_shot import prompts_of_task, prompts_of_tasks, zero_shot_classifier

__all__ = [
    "PrepareImageTextBatch",
    "PromptScoreWriter",
    "ZeroShotWeights",
    "asked_prompts",
    "attribute_vectors",
    "classifier_of_run",
    "collate_pairs",
    "factor_network",
    "image_text_model",
    "prompts_of_task",
    "prompts_of_tasks",
    "read_asked",
    "report_tokenizer",
    "rival_classifier",
    "sentence_vector",
    "text_encoder",
    "text_ids",
    "unnamed_text",
    "whole_loss",
    "with_attribute",
    "zero_shot_classifier",
]
