"""The hooks of this package; a registered plugin is imported only when it is used."""

from __future__ import annotations

from collections.abc import Mapping

from zobench.registry.hooks import hookimpl
from zobench.registry.plugin import Plugin

ADVICE = (
    "Measured on vit-mae with the objective dne: --optimizer margin-probes, which knows no more, and "
    "--optimizer probes, which sees whole embeddings, find something in some hundred queries. On "
    "encoders that nobody made for edits, none that was measured has found anything beyond chance."
)
"""For users of the optimizers that see values."""
USE = "Use what was found"
"""Panel of the help."""
GEZO_ADVICE = (
    f"The paper gives GeZO 640,000 queries; with 12,800 it found nothing on vit-mae. {ADVICE}"
)


@hookimpl
def zobench_register_optimizers() -> Mapping[str, Plugin]:
    """The optimizers; the label of each is its feedback."""
    return {
        "gezo": Plugin(
            "zobench_plugins.optimizers.gezo:Gezo",
            "greedy zeroth-order optimization (Jin et al. 2024, Algorithm 1)",
            label="value",
            advice=GEZO_ADVICE,
        ),
        "gezo-released": Plugin(
            "zobench_plugins.optimizers.gezo_released:GezoReleased",
            "GeZO as the authors' public code runs it, which differs from the paper",
            label="value",
            advice=ADVICE,
        ),
        "spsa": Plugin(
            "zobench_plugins.optimizers.spsa:Spsa",
            "simultaneous perturbation with automatic gains (Spall 1992, 1998)",
            label="value",
            advice=ADVICE,
        ),
        "spsa-gc": Plugin(
            "zobench_plugins.optimizers.spsa_gc:SpsaGc",
            "SPSA with Nesterov-like gradient correction (BlackVIP, Oh et al. 2023)",
            label="value",
            advice=ADVICE,
        ),
        "zo-sgd": Plugin(
            "zobench_plugins.optimizers.zo_sgd:ZoSgd",
            "two-point Gaussian estimates with momentum (Ghadimi and Lan 2013)",
            label="value",
            advice=ADVICE,
        ),
        "zo-signsgd": Plugin(
            "zobench_plugins.optimizers.zo_signsgd:ZoSignSgd",
            "signs of two-point estimates (Liu et al. 2019)",
            label="value",
            advice=ADVICE,
        ),
        "zo-adamm": Plugin(
            "zobench_plugins.optimizers.zo_adamm:ZoAdamm",
            "AMSGrad on two-point estimates (Chen et al. 2019)",
            label="value",
            advice=ADVICE,
        ),
        "mezo": Plugin(
            "zobench_plugins.optimizers.mezo:Mezo",
            "one direction a step, regenerated from its seed (Malladi et al. 2023)",
            label="value",
            advice=ADVICE,
        ),
        "openai-es": Plugin(
            "zobench_plugins.optimizers.openai_es:OpenaiEs",
            "antithetic evolution strategy with ranks and Adam (Salimans et al. 2017)",
            label="value",
            advice=ADVICE,
        ),
        "sep-cma": Plugin(
            "zobench_plugins.optimizers.sep_cma:SepCma",
            "CMA-ES with a diagonal covariance (Ros and Hansen 2008)",
            label="value",
            advice=ADVICE,
        ),
        "kalman": Plugin(
            "zobench_plugins.optimizers.kalman:Kalman",
            "Kalman-filtered slopes in low frequencies, along a path of given length (zobench)",
            label="value",
            advice=ADVICE,
        ),
        "margin-probes": Plugin(
            "zobench_plugins.optimizers.margin_probes:MarginProbes",
            "the slope of the SA head's score, from values on single images (zobench)",
            label="value",
        ),
        "scattered-pairs": Plugin(
            "zobench_plugins.optimizers.scattered_pairs:ScatteredPairs",
            "one image a pair of points, each pair along its own smooth direction (zobench)",
            label="value",
        ),
        "scattered-probes": Plugin(
            "zobench_plugins.optimizers.scattered_probes:ScatteredProbes",
            "a linear surrogate of the encoder from one image per direction (zobench)",
            label="embeddings",
        ),
        "probes": Plugin(
            "zobench_plugins.optimizers.probes:Probes",
            "the direction an encoder reacts to most, then a refitted head's error (zobench)",
            label="embeddings",
        ),
        "probes-pgd": Plugin(
            "zobench_plugins.optimizers.probes_pgd:ProbesPgd",
            "signed gradient steps from where probes point; with --objective adversary (zobench)",
            label="gradient",
        ),
        "probes-signum": Plugin(
            "zobench_plugins.optimizers.probes_signum:ProbesSignum",
            "signed steps on a refitted head, from where the encoder reacts most (zobench)",
            label="gradient",
        ),
        "surrogate": Plugin(
            "zobench_plugins.optimizers.surrogate:Surrogate",
            "an edit from a related encoder's gradients, checked by queries, then probes (zobench)",
            label="embeddings",
            argument="encoder",
            borrows=True,
        ),
        "best-of": Plugin(
            "zobench_plugins.optimizers.best_of:BestOf",
            "any optimizer, with the best of its edits that paid checks found (zobench)",
            label="embeddings",
            argument="optimizer",
            wraps=True,
        ),
        "patch-search": Plugin(
            "zobench_plugins.optimizers.patch_search:PatchSearch",
            "random squares of one brightness, kept where they help (after Square Attack)",
            label="value",
            advice=ADVICE,
        ),
        "random": Plugin(
            "zobench_plugins.optimizers.random_search:RandomSearch",
            "keeps the best of a few random steps: the baseline",
            label="value",
            advice=ADVICE,
        ),
        "nevergrad": Plugin(
            "zobench_plugins.optimizers.nevergrad_strategies:NevergradStrategy",
            "any strategy of nevergrad's registry: CMA, DE, PSO, TBPSA, NGOpt, …",
            label="value",
            argument="strategy",
            members="zobench_plugins.optimizers.nevergrad_strategies:names",
            advice=ADVICE,
        ),
        "pgd": Plugin(
            "zobench_plugins.optimizers.pgd:Pgd",
            "white-box signed steps in a box (Madry et al. 2018)",
            label="gradient",
        ),
        "adam-released": Plugin(
            "zobench_plugins.optimizers.adam_released:AdamReleased",
            "white-box DNE as the authors' public code runs it: lr 5e-5, restarted",
            label="gradient",
        ),
        "adam": Plugin(
            "zobench_plugins.optimizers.adam:Adam",
            "white-box Adam on the edit, the paper's DNE",
            label="gradient",
        ),
    }


@hookimpl
def zobench_register_datasets() -> Mapping[str, Plugin]:
    """The datasets; the label of each is the source of its films."""
    return {
        "phantom": Plugin(
            "zobench_plugins.datasets.phantom:PhantomDataset",
            "procedural chest X-rays: pleural_effusion, pneumonia, edema; sex as attribute",
            label="built in",
            precheck="zobench_plugins.datasets.phantom.dataset:precheck",
        ),
        "chexpert": Plugin(
            "zobench_plugins.datasets.chexpert.dataset:CheXpertDataset",
            "CheXpert's layout (train.csv, valid.csv and JPEG films), by sex, age or race",
            label="--data-root",
            precheck="zobench_plugins.datasets.chexpert.dataset:precheck",
        ),
        "nih": Plugin(
            "zobench_plugins.datasets.nih:NihDataset",
            "ChestX-ray14 layout: any finding against No Finding; sex as attribute",
            label="--data-root",
            precheck="zobench_plugins.datasets.nih:precheck",
        ),
        "table": Plugin(
            "zobench_plugins.datasets.table.dataset:TableDataset",
            "one's own images, described by a CSV, TSV or parquet file",
            label="--data-root",
            precheck="zobench_plugins.datasets.table.dataset:precheck",
        ),
    }


@hookimpl
def zobench_register_objectives() -> Mapping[str, Plugin]:
    """The objectives; the label of each says what its values are computed from."""
    return {
        "dne": Plugin(
            "zobench_plugins.objectives.dne:Dne",
            "minus the cross-entropy of the clean SA head g: the paper's (Jin et al. 2024, Eq. 1)",
            label="each image",
        ),
        "fisher": Plugin(
            "zobench_plugins.objectives.fisher:Fisher",
            "linear separability of the groups within disease labels (Fisher 1936), shrunk",
            label="minibatch",
        ),
        "mmd": Plugin(
            "zobench_plugins.objectives.mmd:Mmd",
            "kernel distance of the groups within disease labels (Gretton et al. 2012)",
            label="minibatch",
        ),
        "adversary": Plugin(
            "zobench_plugins.objectives.adversary:Adversary",
            "minus the cross-entropy of an SA head refitted on bought embeddings (Zhang et al. 2018)",
            label="each image",
        ),
    }


@hookimpl
def zobench_register_methods() -> Mapping[str, Plugin]:
    """Rows of the paper's tables; the label tells methods that need no query beyond setup."""
    return {
        "erm": Plugin(
            "zobench_plugins.methods.erm:Erm", "empirical risk minimisation", label="no query"
        ),
        "sketch": Plugin(
            "zobench_plugins.methods.sketch:Sketch",
            "train and test on line drawings (Yao et al. 2022), by XDoG (Winnemoeller et al. 2012)",
        ),
        "group-dro": Plugin(
            "zobench_plugins.methods.group_dro:GroupDro",
            "worst group's loss, exponentiated group weights (Sagawa et al. 2020)",
            label="no query",
        ),
        "batch-sampling": Plugin(
            "zobench_plugins.methods.batch_sampling:BatchSampling",
            "batches stratified over disease and sensitive attribute (Puyol-Anton et al. 2021)",
            label="no query",
        ),
        "reweighing": Plugin(
            "zobench_plugins.methods.reweighing:Reweighing",
            "weights that make disease and attribute independent (Kamiran and Calders 2012)",
            label="no query",
        ),
        "leace": Plugin(
            "zobench_plugins.methods.leace:Leace",
            "least-squares concept erasure (Belrose et al. 2023)",
            label="no query",
        ),
        "leace-cells": Plugin(
            "zobench_plugins.methods.leace:LeaceCells",
            "LEACE with equal weight for each cell of disease and attribute",
            label="no query",
        ),
        "inlp": Plugin(
            "zobench_plugins.methods.inlp:Inlp",
            "iterative nullspace projection, then reweighing (Ravfogel et al. 2020)",
            label="no query",
        ),
        "balanced-subset": Plugin(
            "zobench_plugins.methods.balanced_subset:BalancedSubset",
            "heads on balanced subsets (Kirichenko et al. 2023: deep feature reweighting)",
            label="no query",
        ),
        "group-thresholds": Plugin(
            "zobench_plugins.methods.group_thresholds:GroupThresholds",
            "a threshold per group; needs the attribute at test time (Hardt et al. 2016)",
            label="no query",
        ),
        "biasadv": Plugin(
            "zobench_plugins.methods.biasadv:BiasAdv",
            "adversarial images against a biased head (Lim et al. 2023)",
            label="gradient",
        ),
        "dne": Plugin(
            "zobench_plugins.methods.dne:Dne",
            "a shared noise image that hides the attribute (Jin et al. 2024), by any optimizer",
            argument="optimizer",
        ),
    }


@hookimpl
def zobench_register_trackers() -> Mapping[str, Plugin]:
    """The trackers; the label of each is the package that it needs."""
    return {
        "tensorboard": Plugin(
            "zobench_plugins.trackers.tensorboard:TensorBoard",
            "curves, scores and edits in <run>/tensorboard",
            label="tensorboardX",
        ),
        "wandb": Plugin(
            "zobench_plugins.trackers.weights_and_biases:WeightsAndBiases",
            "curves and scores in a project of Weights & Biases, online or offline",
            label="wandb",
            argument="project",
            argument_needed=False,
        ),
        "mlflow": Plugin(
            "zobench_plugins.trackers.mlflow_server:MlflowServer",
            "curves and scores in an experiment of the MLflow server of MLFLOW_TRACKING_URI",
            label="mlflow-skinny",
            argument="experiment",
            argument_needed=False,
        ),
    }


@hookimpl
def zobench_register_executors() -> Mapping[str, Plugin]:
    """The executors; the label of each is the package that it needs."""
    return {
        "local": Plugin(
            "zobench_plugins.executors.local:LocalExecutor",
            "worker processes on this machine",
            label="built in",
        ),
        "ray": Plugin(
            "zobench_plugins.executors.ray:RayExecutor",
            "a Ray cluster, there already or started here",
            label="ray",
        ),
        "slurm": Plugin(
            "zobench_plugins.executors.slurm:SlurmExecutor",
            "SLURM, one job array a call, by submitit",
            label="submitit",
        ),
    }


@hookimpl
def zobench_register_metrics() -> Mapping[str, Plugin]:
    """Metrics, in the order of tables."""
    targets = {
        "eo_n": "equalised_odds:EO_N",
        "eo_p": "equalised_odds:EO_P",
        "di_gap": "disparate_impact:DI_GAP",
        "di_gap_tpr": "disparate_impact:DI_GAP_TPR",
        "dp_gap": "disparate_impact:DP_GAP",
        "eodds_average": "equalised_odds:AVERAGE",
        "eodds_max": "equalised_odds:MAXIMUM",
        "accuracy": "correctness:ACCURACY",
        "worst_group": "correctness:WORST_GROUP",
        "auc": "auc:AUC",
    }
    return {name: Plugin(f"zobench_plugins.metrics.{target}") for name, target in targets.items()}


@hookimpl
def zobench_register_commands() -> Mapping[str, Plugin]:
    """Commands of the command line."""
    return {
        "paper": Plugin(
            "zobench_plugins.paper.command:paper",
            "reproduce the paper's table and figures, with the published numbers beside ours",
        ),
        "apply": Plugin(
            "zobench_plugins.practice.commands:apply",
            "add the edit of a run to images: PNG, TIFF and DICOM at their own size and depth",
            label=USE,
        ),
        "export": Plugin(
            "zobench_plugins.practice.commands:export",
            "write a bundle to use an edit without zobench: the edit, both heads, facts and a loader",
            label=USE,
        ),
        "embed": Plugin(
            "zobench_plugins.practice.commands:embed",
            "embed images with any encoder: one row an image, one column a number",
            label=USE,
        ),
    }
