"""What a job moves: an adapter and learned words, or every weight of the base."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from helpers.tuning.config import FineTuneConfig
from helpers.tuning.lora import attach_lora, detach_lora
from helpers.tuning.networks import Networks
from helpers.tuning.subjects import Subject
from helpers.tuning.words import LearnedWords, forget_words, learnable, rows_for


def make_trainable(
    networks: Networks, config: FineTuneConfig, subjects: Sequence[Subject]
) -> list[dict[str, Any]]:
    """Prepare ``networks`` as ``config.method`` says; returns the optimizer's groups.

    Each group holds ``params`` and the ``lr`` that a schedule then scales. Raises
    ``TrainingError`` when the networks carry an adapter already.
    """
    if config.method == "full":
        return [{"params": _unfreeze(networks, config), "lr": config.learning_rate}]
    groups: list[dict[str, Any]] = [
        {"params": attach_lora(networks, config), "lr": config.learning_rate}
    ]
    if words := learn_words(networks, config, subjects):
        # Weight decay would pull a word towards no meaning at all.
        rate = config.token_learning_rate
        groups.append({"params": [words.rows], "lr": rate, "weight_decay": 0.0})
    return groups


def learn_words(
    networks: Networks, config: FineTuneConfig, subjects: Sequence[Subject]
) -> LearnedWords | None:
    """Give each subject's identifier rows of its own, where the configuration asks for that."""
    nouns = {
        subject.token: subject.class_noun
        for subject in subjects
        if config.learned_tokens and learnable(subject.token, networks.tokenizer)
    }
    if not nouns:
        return None
    count = min(rows_for(word, config.learned_tokens) for word in nouns)
    words = LearnedWords(networks.text_encoder, networks.tokenizer, nouns, count, config.seed)
    networks.text_encoder.set_input_embeddings(words)
    return words


def word_warnings(
    networks: Networks, config: FineTuneConfig, subjects: Sequence[Subject]
) -> list[str]:
    """Which identifiers get fewer embeddings than asked for, in words."""
    said = []
    if not config.learned_tokens or config.method == "full":
        return said
    for subject in subjects:
        if subject.token and not learnable(subject.token, networks.tokenizer):
            said.append(
                f'The identifier "{subject.token}" is a piece of other words for this base, so no '
                "embedding of its own was learned for it."
            )
        elif rows_for(subject.token, config.learned_tokens) < config.learned_tokens:
            said.append(
                f'The identifier "{subject.token}" has capital letters, and a pipeline spells out '
                "several embeddings for lower-case words alone: one was learned."
            )
    return said


def restore_base(networks: Networks) -> bool:
    """Take off what a job put on; whether the networks are the base's again, bit for bit."""
    if next(networks.unet.parameters()).requires_grad:
        return False
    detach_lora(networks)
    forget_words(networks.text_encoder)
    return True


def _unfreeze(networks: Networks, config: FineTuneConfig) -> list[torch.nn.Parameter]:
    trained = [networks.unet, *([networks.text_encoder] if config.train_text_encoder else [])]
    for network in trained:
        network.requires_grad_(True)
    return [parameter for network in trained for parameter in network.parameters()]
