"""Makes the optimizer and the objective of a run, and the client data that they may know."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zobench.config import RunConfig
from zobench.contracts.client import Client
from zobench.contracts.encoder import Encoder
from zobench.contracts.handover import AskRules, checked_ask
from zobench.contracts.objective import Objective, ObjectiveContext
from zobench.contracts.optimizer import (
    FEEDBACK,
    AskTell,
    Feedback,
    LocalEncoder,
    Optimizer,
    OptimizerContext,
)
from zobench.contracts.random_streams import generator, seed_sequence
from zobench.contracts.space import Space
from zobench.errors import ConfigError, PluginError
from zobench.oracle.evaluator import Evaluator
from zobench.oracle.metered_encoder import MeteredEncoder
from zobench.oracle.oracle import require_a_value
from zobench.problem.heads import Head
from zobench.problem.images import Images
from zobench.registry.failure import plugin_code

from .resolved import ResolvedConfig, ResolvedPlugin
from .wrapped import Wrapped

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class TrainingData:
    """The training images with everything that is known of them before the first query.

    Attributes:
        images: The training images; heads are fitted on them, and minibatches are drawn from them.
        clean: Their embeddings ``(N, D)`` without an edit.
        head: The SA head g.
    """

    images: Images
    clean: NDArray[np.float32]
    head: Head


def feedback_of(plugin: ResolvedPlugin) -> Feedback:
    """The feedback level that an optimizer's class declares; ``value`` if it declares none.

    The level of a wrapper is the higher one of its class and of the optimizer inside.

    Raises:
        PluginError: There is no such level.
    """
    level = _declared(plugin)
    if plugin.inner is None:
        return level
    return max(level, feedback_of(plugin.inner), key=FEEDBACK.index)


def _declared(plugin: ResolvedPlugin) -> Feedback:
    level: Feedback = getattr(plugin.offer.plugin.load(), "feedback", "value")
    if level not in FEEDBACK:
        raise PluginError(
            f"optimizer {plugin.offer.name!r} declares feedback = {level!r:.80}; it must be one of "
            f"{', '.join(FEEDBACK)}"
        )
    return level


def make_optimizer(
    config: RunConfig,
    plugin: ResolvedPlugin,
    space: Space,
    client: Client | None,
    local: LocalEncoder | None = None,
) -> Optimizer:
    """The optimizer that a config names, before its first ask.

    Args:
        config: The config of the run.
        plugin: The optimizer's plugin.
        space: The space of its points.
        client: The client data; ``None`` for an optimizer that declares ``value``.
        local: The encoder that the optimizer borrows; ``None`` for none.

    Raises:
        PluginError: The optimizer declares another level of feedback than its class.
    """
    context = OptimizerContext(
        space=space,
        rng=generator(config.seed, "optimizer"),
        budget=config.budget,
        batch_size=config.batch_size,
        client=client,
        backward_cost=config.backward_cost,
        local=local,
    )
    return build_optimizer(plugin, context)


def build_optimizer(plugin: ResolvedPlugin, context: OptimizerContext) -> Optimizer:
    """An optimizer before its first ask.

    Args:
        plugin: The optimizer's plugin.
        context: What it may know. Its argument, its client data (only where its level includes them),
            the optimizer inside of a wrapper, and the encoder that only a plugin that borrows gets, are
            set here.

    Raises:
        PluginError: The optimizer declares another level of feedback than its class.
    """
    inner, local = plugin.inner, context.local
    client = None if feedback_of(plugin) == "value" else context.client
    context = replace(
        context,
        argument=plugin.argument,
        client=client,
        inner=None if inner is None else partial(_build_wrapped, inner, local),
        local=None if plugin.local is None or client is None else local,
    )
    optimizer: Optimizer = plugin.build(context)
    declared = _declared(plugin)
    if optimizer.feedback != declared:
        raise PluginError(
            f"optimizer {plugin.offer.name!r} declares feedback = {optimizer.feedback!r:.80} once it is "
            f"made, but its class declares {declared!r}; declare it in the class"
        )
    return optimizer


def _build_wrapped(
    plugin: ResolvedPlugin, local: LocalEncoder | None, context: OptimizerContext
) -> AskTell:
    made = build_optimizer(plugin, replace(context, local=local))
    return Wrapped(made, context, plugin.offer.name, feedback_of(plugin))


def check_optimizer(
    resolved: ResolvedConfig, space: Space, encoder: Encoder
) -> tuple[Feedback, int]:
    """Checks that the optimizer fits encoder and budget, before anything is embedded.

    The first ask of an optimizer that declares ``value`` is made by a separate instance, because
    asking changes an optimizer's state. Other optimizers are made once the clean embeddings are
    known; the loop then checks their first ask.

    Returns:
        The feedback level that the optimizer declares, and the images of its first ask; those of one
        evaluation where it is not known yet.

    Raises:
        ConfigError: The first batch costs more than the budget, its points have too few images for the
            objective, or the encoder gives no gradients.
    """
    config = resolved.config
    feedback = feedback_of(resolved.optimizer)
    if feedback == "gradient" and config.quantize:
        raise ConfigError(
            f"quantize is {config.quantize}, but optimizer {config.optimizer!r} needs gradients, which "
            "rounded images do not have; leave --quantize out, or choose a black-box optimizer"
        )
    if feedback == "gradient" and not encoder.spec.differentiable:
        raise ConfigError(
            f"optimizer {config.optimizer!r} needs gradients, which encoder {config.encoder!r} "
            "does not give; choose a black-box optimizer"
        )
    if feedback != "value":
        return feedback, config.batch_size
    other = make_optimizer(config, resolved.optimizer, space, None)
    with plugin_code():
        asked = other.ask()
    # the number of training images is not known yet; the oracle checks it
    rules = AskRules(config.optimizer, space.shape, feedback, config.batch_size, 2**63)
    ask = checked_ask(asked, rules)
    objective = resolved.objective.offer.plugin.load()
    require_a_value(ask, config.batch_size, config.optimizer, config.objective, objective)
    price = ask.price(config.batch_size, config.backward_cost)
    if price > config.budget:
        size = ask.images_each(config.batch_size)
        smaller = ", or smaller evaluations: --batch-size" if size > ask.images_each(1) else ""
        raise ConfigError(
            f"budget is {config.budget}, but the first batch of optimizer {config.optimizer!r} "
            f"costs {price} queries ({len(ask.points)} evaluations of {size} images); give at least "
            f"that{smaller}"
        )
    return feedback, len(ask.points) * ask.images_each(config.batch_size)


def make_objective(config: RunConfig, plugin: ResolvedPlugin, data: TrainingData) -> Objective:
    """The objective that a config names, before it has seen an answer."""
    import torch

    context = ObjectiveContext(
        head=_copied(data.head),
        clean=torch.from_numpy(data.clean.copy()),
        sensitive=torch.from_numpy(data.images.sensitive.copy()),
        label=torch.from_numpy(data.images.label.copy()),
        rng=generator(config.seed, "objective"),
        argument=plugin.argument,
    )
    objective: Objective = plugin.build(context)
    return objective


def make_evaluator(
    config: RunConfig, plugin: ResolvedPlugin, data: TrainingData, encoder: MeteredEncoder
) -> Evaluator:
    """Evaluates the objective on minibatches of the run.

    The objective is tried on clean embeddings first, so that a broken one costs no query.

    Raises:
        PluginError: The objective gives something else than finite values ``(K,)`` float64.
    """
    evaluator = Evaluator(
        images=data.images,
        encoder=encoder,
        objective=make_objective(config, plugin, data),
        penalty=config.penalty,
        batch_size=config.batch_size,
        entropy=seed_sequence(config.seed, "minibatch"),
        name=config.objective,
    )
    clean_terms(evaluator, data, np.stack([evaluator.rows(number) for number in (0, 1)]))
    return evaluator


def clean_terms(evaluator: Evaluator, data: TrainingData, rows: NDArray[np.int64]) -> Tensor:
    """The objective's values ``(K,)`` on clean embeddings of rows ``(K, b)``, at no query."""
    import torch

    return evaluator.terms(torch.from_numpy(data.clean[rows]), rows)


def make_client(evaluator: Evaluator, data: TrainingData) -> Client:
    """The client data of a run; everything in it is a copy."""
    import torch

    images = data.images
    return Client(
        head=_copied(data.head),
        clean=torch.from_numpy(data.clean.copy()),
        sensitive=torch.from_numpy(images.sensitive.copy()),
        label=torch.from_numpy(images.label.copy()),
        pixels=lambda rows: images.batch(np.asarray(rows, dtype=np.int64)),
        values=lambda embeddings, rows: evaluator.terms(embeddings, np.asarray(rows)),
        penalty=evaluator.penalty,
    )


def _copied(head: Head) -> Head:
    return Head(head.weight.copy(), head.bias.copy())
