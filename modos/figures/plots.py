"""Plot a region: find it in all that is plotted, read it, and draw it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modos.errors import InvalidInputError, ModosError, NotFoundError
from modos.figures.appearance import Appearance
from modos.figures.gene_models import GeneModels, read_models
from modos.figures.lollipops import Lollipops, read_lollipops
from modos.figures.plotted import Plotted, collect
from modos.figures.signals import Signal, measure_depth, measure_track
from modos.genomics.region import Region, RegionLike

if TYPE_CHECKING:
    from modos.encryption.keys import SecretKey
    from modos.figures.region_figure import RegionFigure
    from modos.reference.annotations.annotation import Annotation

_MOST_PANELS = 100
Panel = Signal | Lollipops | GeneModels


def plot(
    things: Any,
    region: RegionLike,
    *,
    genes: bool | Collection[str] | None = None,
    annotation: str | Annotation | None = None,
    every_transcript: bool = False,
    names: Sequence[str] | None = None,
    secret_key: SecretKey | str | Path | None = None,
    passphrase: str | None = None,
    reference_filename: str | Path | None = None,
    **appearance: Any,
) -> RegionFigure:
    """Plot a region of elements, tracks, genomes, files and annotations, one below the other (extra `plot`).

    Of reads the depth is drawn, as `samtools depth` counts it; of a track its
    values; both of single bases, or as mean, least and largest of up to 1,000
    parts. Of variants each alternate allele is drawn as high as it is
    frequent. Several objects may be given::

        modos.plot([anna["data/reads"], ben["data/reads"]], "chr1:1-10,000", overlay=True)

    Parameters
    ----------
    things
        What is plotted: one, or several.
    region
        `chr1:1,000-2,000`, 1-based inclusive; a Region, 0-based half-open; or a gene.
    genes
        Whether genes are drawn below; where it is None, they are if the
        reference has one annotation. Or names of those that are drawn.
    annotation
        The annotation with the genes: opened, or its name in the reference store.
    every_transcript
        All transcripts, instead of one of each gene: that of MANE Select, else
        the principal one of APPRIS, else the longest.
    names
        Of what is plotted, in its order.
    secret_key, passphrase
        To decrypt what is encrypted with.
    reference_filename
        FASTA to decode CRAM with.
    appearance
        `title`, `size`, `dpi`, `font_size`, `units`, `y_label`, `colours`,
        `scale`, `limits`, `overlay`, `heights`, `bins`: see `modos.figures.Appearance`.

    Returns
    -------
    matplotlib.figure.Figure
        Which a notebook shows; `modos.figures.save` writes it to a file, and
        so does its `savefig`.

    Raises
    ------
    NotFoundError
        There is no such contig, gene or annotation.
    RegionError
        The region is beyond its contig.
    InvalidInputError
        Something cannot be plotted; contigs of one name have different
        lengths; an option is wrong; matplotlib is not installed.
    AccessError
        Something is encrypted, and there is no key.
    """
    look = _make_appearance(appearance)
    figure_class = load_figure_class()
    check_colours(look)
    keys = {"secret_key": secret_key, "passphrase": passphrase, "reference_filename": reference_filename}
    found = collect(things, **keys)
    if annotation is not None and not isinstance(annotation, str):
        found = [*found, Plotted(annotation.name, annotation)]
    if len(found) > _MOST_PANELS:
        raise InvalidInputError(f"{len(found):,} panels are too many for a figure", f"choose at most {_MOST_PANELS}")
    placed = place_all(found, region)
    panels = [_read(one, where, look) for one, where in zip(found, placed.regions) if one.kind != "annotation"]
    problems: list[str] = []
    name = annotation if isinstance(annotation, str) else None
    panels += _read_genes(found, placed, genes, name, every_transcript, problems)
    if names is not None:
        panels = _rename(panels, names)
    return figure_class(panels, placed.region, look, problems)


def load_figure_class() -> type[RegionFigure]:
    """Load what draws; raise InvalidInputError where matplotlib is not installed."""
    try:
        from modos.figures.region_figure import RegionFigure
    except ImportError:
        raise InvalidInputError("matplotlib is not installed", "pip install 'modos-store[plot]'") from None
    return RegionFigure


def check_colours(look: Appearance) -> None:
    """Raise InvalidInputError for a colour that matplotlib does not know."""
    from matplotlib.colors import is_color_like

    wrong = [colour for colour in look.colours or () if not is_color_like(colour)]
    if wrong or (look.colours is not None and not look.colours):
        raise InvalidInputError(f"there is no colour {wrong[0] if wrong else 'given'}", "write a name, such as teal, or #rrggbb")


@dataclass(frozen=True)
class Placed:
    """A region as it is drawn, and on the contig of each of what is plotted."""

    region: Region
    regions: tuple[Region, ...]


def place_all(found: Sequence[Plotted], region: RegionLike) -> Placed:
    """Find a region in all that is plotted; the first that knows it says what its contig is called.

    Raises
    ------
    NotFoundError
        One has no such contig, by any name that the others have for it.
    InvalidInputError
        Contigs differ in length: what is plotted is not of one assembly; or
        where the region ends is not known.
    """
    first = _locate_first(found, region)
    names = list(dict.fromkeys(name for one in found for name in (*one.names_of(first.contig), first.contig)))
    lengths = [(one.name, length) for one in found for name in names if (length := one.length_of(name)) is not None]
    if len({length for _, length in lengths}) > 1:
        told = " and ".join(f"{length:,} bases in {name}" for name, length in dict.fromkeys(lengths))
        raise InvalidInputError(f"{first.contig} has {told}", "what is plotted together has to be of one assembly")
    if first.end is None:
        if not lengths:
            raise InvalidInputError(f"where {first.contig} ends is not known", f"say so: {first.contig}:1-1,000,000")
        first = Region(first.contig, first.start, lengths[0][1])
    regions = tuple(_locate_by_names(one, first, names) for one in found)
    return Placed(first, regions)


def _locate_first(found: Sequence[Plotted], region: RegionLike) -> Region:
    errors: list[NotFoundError] = []
    for one in found:
        try:
            return one.locate(region)
        except NotFoundError as error:
            errors.append(error)
    raise errors[0]


def _locate_by_names(one: Plotted, region: Region, names: Sequence[str]) -> Region:
    unknown: NotFoundError | None = None
    for name in names:
        try:
            own = one.locate(Region(name, region.start, region.end))
        except NotFoundError as error:
            unknown = unknown or error
            continue
        return Region(own.contig, region.start, region.end)
    assert unknown is not None
    raise NotFoundError(f"{one.name}: {unknown.message}", unknown.hint)


def _make_appearance(given: dict[str, Any]) -> Appearance:
    unknown = sorted(set(given) - set(Appearance.__dataclass_fields__) | (set(given) & {"inches"}))
    if unknown:
        raise InvalidInputError(
            f"a figure has no option {unknown[0]}",
            f"there are {', '.join(name for name in Appearance.__dataclass_fields__ if name != 'inches')}",
        )
    return Appearance(**given)


def _read(one: Plotted, region: Region, look: Appearance) -> Panel:
    content: Any = one.content
    try:
        if one.kind == "reads":
            return measure_depth(content, region, look.bins, one.name)
        if one.kind == "variants":
            return read_lollipops(content, region, look.heights, one.name)
        return measure_track(content, region, look.bins, one.name)
    except ModosError as error:
        if one.name not in error.message:
            error.message = f"{one.name}: {error.message}"
        raise


def _read_genes(
    found: Sequence[Plotted],
    placed: Placed,
    genes: bool | Collection[str] | None,
    name: str | None,
    every_transcript: bool,
    problems: list[str],
) -> list[GeneModels]:
    """Read the genes of the annotations that are given; else those of the annotation that is named, or found.

    Why genes that nobody asked for cannot be read is added to `problems`.
    """
    only = None if genes is None or isinstance(genes, bool) else ([genes] if isinstance(genes, str) else list(genes))
    given = [(one.content, where) for one, where in zip(found, placed.regions) if one.kind == "annotation"]
    if genes is False:
        return []
    models = [read_models(content, where, only, every_transcript) for content, where in given]  # type: ignore[arg-type]
    if models and name is None:
        return models
    asked: set[int] = set()
    missing: NotFoundError | None = None
    for one, where in zip(found, placed.regions):
        if one.find_annotation is None or id(one.find_annotation) in asked:
            continue
        asked.add(id(one.find_annotation))  # all tracks of a genome have the same
        try:
            source = one.find_annotation(one.contigs, name)
        except ModosError as error:
            if genes is None and name is None:
                problems.append(f"without genes: {error.message}")
                return []
            if name is None or not isinstance(error, NotFoundError):
                raise
            missing = missing or error  # another object may have it
            continue
        if source is not None:
            own = where if where.contig in _contigs_of(source) else placed.region
            return [*models, read_models(source, own, only, every_transcript)]
    if missing is not None:
        raise missing
    if name is not None or genes:
        raise NotFoundError(
            "no annotation is known for what is plotted"
            if name is None
            else f"nothing that is plotted can have the annotation {name}",
            "give one: annotation='NAME' of the reference store, or an Annotation",
        )
    return []


def _contigs_of(source: Any) -> Collection[str]:
    contigs: Collection[str] = source.codes if hasattr(source, "codes") else set(source.tables["gene"]["contig"].to_list())
    return contigs


def _rename(panels: list[Panel], names: Sequence[str]) -> list[Panel]:
    from dataclasses import replace

    if len(names) != len(panels):
        raise InvalidInputError(f"{len(names)} names are given for {len(panels)} panels", "give one for each, also for genes")
    return [replace(panel, name=name) for panel, name in zip(panels, names)]
