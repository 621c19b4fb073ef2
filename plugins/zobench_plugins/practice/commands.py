"""``zobench apply``, ``zobench export`` and ``zobench embed``: use what was found."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Annotated

import typer

from zobench.cli.options import DEFAULTS, EncoderSettings, RunFolderArgument
from zobench.config import RunConfig, parse_overrides
from zobench.errors import ConfigError, DatasetError, StoreError

if TYPE_CHECKING:
    from torch import Tensor

    from zobench.contracts.listener import Listener
    from zobench.records.stored_run import StoredRun

    from .embedding import Embeddings

Pictures = Annotated[
    list[Path], typer.Argument(metavar="IMAGES", help="Picture files, or folders of them.")
]
AtQueries = Annotated[
    int | None,
    typer.Option("--at", metavar="QUERIES", help="The edit of this snapshot; default: the last."),
]


ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals at which ``zobench embed`` keeps what it has; SIGHUP is a terminal that is gone."""


def apply(
    run: RunFolderArgument,
    images: Pictures,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the edited images.")],
    as_sent: Annotated[
        bool,
        typer.Option(
            "--as-sent", help="Write what the encoder is sent: its size, .npy or 8-bit .png."
        ),
    ] = False,
    at: AtQueries = None,
    window: Annotated[
        str,
        typer.Option(
            metavar="LOW,HIGH",
            help="Pixel values that become black and white, for more than 8 bits.",
        ),
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace images in the folder.")] = False,
) -> None:
    """Add the edit of a run to images: PNG, TIFF and DICOM at their own size and depth."""
    from zobench.cli.display.console import note, output_console

    from ..datasets.pictures.dicom_files import is_dicom
    from ..datasets.pictures.levels import parsed_window
    from .editing import write_edited
    from .picture_files import (
        all_or_none,
        edited_name,
        passed_over,
        picture_files,
        targets,
        with_suffix,
    )
    from .sending import form_of, window_of, write_sent

    opened, edit = _edit(run, at)
    chosen = parsed_window(window, "--window") or window_of(opened)
    form, encoder = form_of(opened, chosen) if as_sent else None, opened.manifest.encoder
    suffix = ".npy" if encoder.exact_floats else ".png"

    def rename(path: Path, name: Path) -> Path:
        return with_suffix(name, suffix) if as_sent else edited_name(name, is_dicom(path))

    pairs = targets(picture_files(images), out, rename, force)
    if others := passed_over(images):
        note(others)

    def write(path: Path, draft: Path) -> float:
        if form is None:
            return write_edited(path, draft, edit[0].numpy(), chosen, str(path))
        write_sent(path, draft, edit, form, encoder.image_shape[0], encoder.exact_floats)
        return 0.0

    with all_or_none([target for _, target in pairs], out) as drafts:
        files = zip([path for path, _ in pairs], drafts, strict=True)
        hidden = _write_all(write, list(files))
    if hidden:
        note(
            f"up to {max(hidden, 0.001):.1%} of an image's pixels lie beyond its window, which hides "
            "the edit there; --as-sent writes what the encoder was sent in the run"
        )
    edited = bool(edit.any())
    if not edited:
        note("this run recommends no edit: the images were written as they are")
    elif not opened.done:
        note(f"the run is {opened.status}, so nothing says what this edit is worth")
    how = f"with the edit of {opened.label}" if edited else "without an edit"
    output_console().print(
        f"wrote {len(pairs):,} image{'' if len(pairs) == 1 else 's'} {how} to {out}",
        soft_wrap=True,
        markup=False,
    )


def _write_all(write: Callable[[Path, Path], float], files: Sequence[tuple[Path, Path]]) -> float:
    """The largest of what ``write`` returns for the pictures and their drafts.

    Raises:
        DatasetError: Pictures cannot be used; the message names the first and counts all.
    """
    from ..datasets.films import in_one_message

    largest = 0.0
    refused: list[DatasetError] = []
    for picture, draft in files:
        try:
            largest = max(largest, write(picture, draft))
        except DatasetError as error:
            refused.append(error)
    if refused:
        told = in_one_message(refused, "cannot be used")
        raise DatasetError(f"{told}\n  no image was written")
    return largest


def _edit(place: str, at: int | None) -> tuple[StoredRun, Tensor]:
    """A run and one of its edits."""
    from zobench.records.stored_run import StoredRun
    from zobench.records.urls.copies import fetch

    run = StoredRun(fetch(place))
    snapshots = run.snapshots
    if not snapshots:
        raise ConfigError(f"{place} has no snapshot yet, so there is no edit to apply")
    if at is not None and at not in snapshots:
        raise ConfigError(
            f"--at is {at:,}, but the snapshots of {place} are at "
            f"{', '.join(f'{queries:,}' for queries in snapshots)} queries"
        )
    return run, run.edit_after(snapshots[-1] if at is None else at)


def export(
    run: RunFolderArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="A new folder for the bundle.")],
    yes: Annotated[
        bool, typer.Option("--yes", help="Send images to a service, which may bill them.")
    ] = False,
) -> None:
    """Write a bundle to use an edit without zobench: the edit, both heads, facts and a loader."""
    from zobench.cli.display.console import output_console
    from zobench.cli.display.progress import ConsoleListener
    from zobench.files.atomic import require_writable
    from zobench.records.stored_run import StoredRun
    from zobench.records.urls.copies import fetch
    from zobench.runs.refit import refit_heads

    from .bundle import require_new, write_bundle
    from .sending import form_of

    require_new(out)
    require_writable(out)
    opened = StoredRun(fetch(run))
    form_of(opened)
    with ConsoleListener() as listener:
        heads = refit_heads(opened, listener, allowed=lambda images: yes)
    write_bundle(opened, heads, out)
    output_console().print(f"wrote {out}", soft_wrap=True, markup=False)
    output_console().print(opened.verdict.text, markup=False)
    output_console().print(
        f"load.py needs numpy and Pillow only; see {out}/README.md", soft_wrap=True, markup=False
    )


def embed(
    encoder: Annotated[str, typer.Argument(metavar="ENCODER", help="See: zobench list encoders.")],
    images: Pictures,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="A .parquet or .csv file.")
    ],
    edit: Annotated[
        str | None,
        typer.Option(
            "--edit", metavar="RUN", help="Add the run's last edit, with its encoder's settings."
        ),
    ] = None,
    window: Annotated[
        str,
        typer.Option(
            metavar="LOW,HIGH",
            help="Pixel values that become black and white, for more than 8 bits.",
        ),
    ] = "",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:N.")] = DEFAULTS.device,
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = DEFAULTS.precision,
    settings: EncoderSettings = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
) -> None:
    """Embed images with any encoder: one row an image, one column a number."""
    from zobench.cli.display.console import note, output_console
    from zobench.cli.display.progress import ConsoleListener
    from zobench.comparison.export import check_target, write_table
    from zobench.files.atomic import require_writable
    from zobench.runs.signals import stop_on_signal, unstoppable

    from ..datasets.pictures.levels import parsed_window
    from .embedding import Embeddings, embed_pictures
    from .picture_files import ARRAY, SUFFIXES, passed_over, picture_files
    from .sending import form_of

    check_target(out, force)
    require_writable(out.parent)
    given = parse_overrides(settings or [], ("encoder",)).get("encoder", {})
    config = RunConfig(
        encoder=encoder, device=device, precision=precision, overrides={"encoder": given}
    )
    pairs = picture_files(images, (*SUFFIXES, ARRAY))
    if others := passed_over(images, (*SUFFIXES, ARRAY)):
        note(others)
    chosen, added, form = parsed_window(window, "--window"), None, None
    if edit is not None:
        run, added = _edit(edit, None)
        form = form_of(run, chosen)
        if held := next((path for path, _ in pairs if path.suffix.lower() == ARRAY), None):
            raise ConfigError(
                f"{held}: an array is what an encoder was sent, so no edit is added to it; leave --edit "
                "out, or the array"
            )
        if not bool(added.any()):
            note("this run recommends no edit: the images are embedded as they are")
        elif not run.done:
            note(f"the run is {run.status}, so nothing says what this edit is worth")
        if run.config.encoder == encoder:  # as in the run, but for what is given here
            learned = {**run.config.overrides.get("encoder", {}), **given}
            config = config.changed(quantize=run.config.quantize, overrides={"encoder": learned})
            if precision == DEFAULTS.precision:
                config = config.changed(precision=run.config.precision)
        else:
            note(f"the edit was learned for {run.config.encoder}, not for {encoder}")
    embeddings = Embeddings()
    with ConsoleListener() as listener, stop_on_signal(listener, hears=ENDINGS) as stop:
        try:
            embed_pictures(
                embeddings, config, pairs, chosen, added, listener, form=form, stopped=stop
            )
            write_table(out, embeddings.table())
        except BaseException:
            with unstoppable(ENDINGS):
                _keep(embeddings, out, len(pairs), listener)
            raise
    count, numbers = embeddings.numbers().shape
    output_console().print(
        f"wrote {out}: {count:,} image{'' if count == 1 else 's'}, {numbers:,} numbers each",
        soft_wrap=True,
        markup=False,
    )


def _keep(embeddings: Embeddings, out: Path, wanted: int, listener: Listener) -> None:
    """Writes the embeddings made so far beside ``out``, or to a new temporary folder if that fails."""
    from zobench.comparison.export import write_table

    from .picture_files import free_name

    if not len(embeddings):
        return
    made = f"the embeddings of {len(embeddings):,} of {wanted:,} images"
    for beside in (True, False):
        try:
            if beside:
                kept = free_name(out.with_stem(f"{out.stem}-incomplete"))
            else:
                kept = Path(mkdtemp(prefix="zobench-"), f"incomplete{out.suffix}")
            write_table(kept, embeddings.table())
        except (StoreError, OSError):
            continue
        listener.note(f"{made} are in {kept}")
        return
    listener.note(f"{made} are lost: neither {out.parent} nor a temporary folder can be written")
