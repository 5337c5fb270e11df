"""Texts of mammograms: written from attributes, cleaned, drawn, flipped, back-translated, asked and tokenised."""

from .back_translation import MarianTranslator, back_translate, back_translate_table
from .cleaning import Report, clean_report, clean_text, split_report, split_sentences
from .prompts import PROMPTS, PUBLISHED, Prompts, check_prompts, load_prompts
from .sampling import draw_sentence, draw_texts
from .sides import AmbiguousSide, flip_words, speaks_of_sides
from .synthesis import Details, absent_types, bank_size, sentences, synthesise
from .tokens import TextTokenizer, Tokens, load_tokenizer, save_tokenizer, train_tokenizer
from .vocabulary import FINDINGS, NO_FINDING

__all__ = [
    "FINDINGS",
    "NO_FINDING",
    "PROMPTS",
    "PUBLISHED",
    "AmbiguousSide",
    "Details",
    "MarianTranslator",
    "Prompts",
    "Report",
    "TextTokenizer",
    "Tokens",
    "absent_types",
    "back_translate",
    "back_translate_table",
    "bank_size",
    "check_prompts",
    "clean_report",
    "clean_text",
    "draw_sentence",
    "draw_texts",
    "flip_words",
    "load_prompts",
    "load_tokenizer",
    "save_tokenizer",
    "sentences",
    "speaks_of_sides",
    "split_report",
    "split_sentences",
    "synthesise",
    "train_tokenizer",
]
