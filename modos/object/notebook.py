"""Show elements in notebooks, with the records of their files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modos.errors import InvalidInputError
from modos.errors.escaping import escape_line
from modos.formats import is_array_path, is_file_path, is_tree_path
from modos.formats.html_tables import always
from modos.object.written_metadata import element_html, name_data

if TYPE_CHECKING:
    from io import BufferedReader

    import numpy as np

    from modos.encryption.keys import SecretKey
    from modos.figures.plotted import Plotted
    from modos.figures.region_figure import RegionFigure
    from modos.genomics import GenomicFile, RegionsLike
    from modos.genomics.region import RegionLike
    from modos.object.address import ObjectAddress
    from modos.tables.arrow import ArrowTable, DataFrame, PandasFrame, RecordBatchReader, Table
    from modos.trees.tree_opening import AnnData, Dataset, MuData, SpatialData
    from modos.trees.tree_store import TreeStore

    OpenTable = Callable[..., ArrowTable]
    OpenPlotted = Callable[..., list[Plotted]]
    OpenBytes = Callable[[SecretKey | str | Path | None, str | None], BufferedReader]  # secret key, passphrase
    OpenTree = Callable[[SecretKey | str | Path | None, str | None, bool], TreeStore]  # secret key, passphrase, allow_pickle


class ElementView(Mapping[str, Any]):
    """Element of an object: a mapping of its attributes, with the records of its file.

    Parameters
    ----------
    id
        The element's full id.
    attributes
        By slot.
    open_file
        Gives the object's file of a path.
    open_tree
        Gives the store of the element's Zarr tree.
    open_arrays
        Gives the arrays of the object that the element is kept as.
    open_bytes
        Gives the bytes of the element's file.
    open_table
        Gives the element as a table.
    open_plotted
        Gives what can be plotted of it.
    address
        Of its object.
    """

    def __init__(
        self,
        id: str,
        attributes: Mapping[str, Any],
        open_file: Callable[[str], GenomicFile],
        open_tree: OpenTree | None = None,
        open_arrays: Callable[[], Any] | None = None,
        open_bytes: OpenBytes | None = None,
        open_table: OpenTable | None = None,
        open_plotted: OpenPlotted | None = None,
        address: ObjectAddress | None = None,
    ):
        self.id = id
        self._attributes = attributes
        self._open_file = open_file
        self._open_tree = open_tree
        self._open_arrays = open_arrays
        self._open_bytes = open_bytes
        self._open_table = open_table
        self._open_plotted = open_plotted
        self._address = address

    @property
    def file_name(self) -> str | None:
        """Name of its file; None if it has none. `data_path` is the key of that."""
        path = self._attributes.get("data_path")
        return path and name_data(path)

    @property
    def file(self) -> GenomicFile:
        """Its file; raise InvalidInputError if it has none that can be streamed."""
        path = self._attributes.get("data_path")
        if not path:
            raise InvalidInputError(f"{self.id} has no file")
        return self._open_file(path)

    def open_bytes(self, *, secret_key: SecretKey | str | Path | None = None, passphrase: str | None = None) -> BufferedReader:
        """Open the bytes of its file, of whatever format, for reading: a binary file that can be sought in.

        What is read is fetched then, compared with what is recorded, and
        decrypted in memory::

            table = polars.read_parquet(modo["data/scores"].open_bytes(secret_key="me.sec"))
            cells = h5py.File(modo["data/cells"].open_bytes(secret_key="me.sec"))

        Parameters
        ----------
        secret_key
            The key, or its file, that an encrypted file is decrypted with.
        passphrase
            Of the secret key; `C4GH_PASSPHRASE` where it is None.

        Raises
        ------
        InvalidInputError
            Its data are no file.
        AccessError
            It is encrypted, and there is no key.
        IntegrityError
            The key does not decrypt it, or it is damaged; also while reading.
        """
        path = self._attributes.get("data_path") or ""
        if self._open_bytes is None or not path or not is_file_path(path):
            raise InvalidInputError(f"{self.id} has no file" + (f": its data are {name_data(path)}" if path else ""))
        return self._open_bytes(secret_key, passphrase)

    def fetch(self, region: RegionsLike = None, samples: Iterable[str] | None = None) -> Iterator[Any]:
        """Iterate over the records that overlap some regions; see `modos.genomics.GenomicFile.fetch`."""
        return self.file.fetch(region, samples)

    def count(self, region: RegionsLike = None) -> int:
        """Count the records that overlap some regions."""
        return self.file.count(region)

    def coverage(self, region: RegionLike, bins: int | None = None) -> np.ndarray:
        """Compute the depth of reads over a region: shape (bins,), float64, or (bases,), int64; see `GenomicFile.coverage`."""
        return self.file.coverage(region, bins)

    def to_arrow(
        self,
        region: RegionsLike = None,
        columns: Iterable[str] | str | None = None,
        *,
        samples: Iterable[str] | str | None = None,
        sample_rows: bool = False,
        section: str | None = None,
        reference_filename: str | Path | None = None,
        secret_key: SecretKey | str | Path | None = None,
        passphrase: str | None = None,
    ) -> Table:
        """Read exactly the records of some regions as a pyarrow.Table (extra `tables`).

        Reads have the fields of SAM and their tags as columns; variants those
        of VCF, `INFO/KEY`, and a struct of FORMAT for each sample; `pos`,
        `pnext` and `end` are 1-based and inclusive. Tracks and features have
        `start` (0-based) and `end`, half-open. See the page on tables.

        Parameters
        ----------
        region
            As `fetch` takes it; None for all.
        columns
            Their names, in their order; only these are decoded. All where it is None.
        samples
            The samples of a VCF or BCF, in the order of their columns; `rows`
            for all, each as a row of its own.
        sample_rows
            Whether each sample of a record is a row, with its name in `sample`.
        section
            Which part: of an mzTab `MTD`, `PRT`, `PSM` and so on; of a
            reference genome `gene`, `transcript`, `exon`, ... of its
            annotation, in place of its tracks.
        reference_filename
            FASTA to decode a CRAM with; found as `stream_genomics` finds it where it is None.
        secret_key
            The key, or its file, that encrypted data are decrypted with.
        passphrase
            Of the secret key; `C4GH_PASSPHRASE` where it is None.

        Raises
        ------
        InvalidInputError
            There is no such column; it has no records; pyarrow is not installed.
        NotFoundError
            There is no such contig, sample or section.
        AccessError
            It is encrypted, and there is no key.
        IntegrityError, RemoteError
            It is damaged, or does not come whole: there is no shorter table.
        """
        return self._table(
            region=region,
            columns=columns,
            samples=samples,
            sample_rows=sample_rows,
            section=section,
            reference_filename=reference_filename,
            secret_key=secret_key,
            passphrase=passphrase,
        ).read()

    def iter_arrow(
        self, region: RegionsLike = None, columns: Iterable[str] | str | None = None, **options: Any
    ) -> RecordBatchReader:
        """Read exactly the records of some regions as batches, in bounded memory: a pyarrow.RecordBatchReader.

        Options and errors as of `to_arrow`, the errors also while iterating.
        The reader has its `schema` from the first; where tags of reads are
        wanted whose types nothing tells, the records are gone through twice.
        """
        from modos.tables.arrow import make_reader

        return make_reader(self._table(region=region, columns=columns, **options))

    def to_polars(self, region: RegionsLike = None, columns: Iterable[str] | str | None = None, **options: Any) -> DataFrame:
        """Read exactly the records of some regions as a polars.DataFrame; options and errors as of `to_arrow`."""
        from modos.tables.arrow import convert_to_polars

        return convert_to_polars(self.to_arrow(region, columns, **options))

    def to_pandas(self, region: RegionsLike = None, columns: Iterable[str] | str | None = None, **options: Any) -> PandasFrame:
        """Read exactly the records of some regions as a pandas.DataFrame; options and errors as of `to_arrow`."""
        from modos.tables.arrow import convert_to_pandas

        return convert_to_pandas(self.to_arrow(region, columns, **options))

    def _table(self, **options: Any) -> ArrowTable:
        if self._open_table is None:
            raise InvalidInputError(f"{self.id} cannot be read as a table", "open its object")
        return self._open_table(**options)

    def plot(self, region: RegionLike, *, with_: Any = (), **options: Any) -> RegionFigure:
        """Plot a region: depth of reads, variants, or values of a track, with genes below (extra `plot`).

        ::

            modo["data/reads"].plot("chr1:1-10,000", with_=[modo["data/calls"], modo["data/signal"]])

        Parameters
        ----------
        region
            `chr1:1,000-2,000`, 1-based inclusive; a Region, 0-based half-open; or a gene.
        with_
            What else is plotted: elements, also of other objects, tracks,
            annotations; one or several.
        options
            `secret_key`, `genes`, `annotation`, `overlay`, `title`, `size` and
            others, and what is raised: see `modos.plot`.
        """
        from modos.figures import plot

        others = [with_] if isinstance(with_, ElementView) or not isinstance(with_, Iterable) else list(with_)
        return plot([self, *others], region, **options)

    def browse(self, region: RegionLike, *, with_: Any = (), **options: Any) -> Any:
        """Show a region in a genome browser in the cell of a notebook, until its `close` or the kernel's end (extra `igv`).

        Parameters
        ----------
        region
            `chr1:1,000-2,000`, 1-based inclusive, or a Region, 0-based half-open.
        with_
            Other elements of the same object; one or several.
        options
            `secret_key`, `passphrase`, `width`, `height`; errors as of `modos.browse`.
        """
        import modos

        others = [with_] if isinstance(with_, ElementView) else list(with_)
        return modos.browse([self, *others], region, **options)

    @property
    def address(self) -> ObjectAddress:
        """Address of its object."""
        if self._address is None:
            raise InvalidInputError(f"where {self.id} is from is not known", "open its object")
        return self._address

    def open_plotted(self, **options: Any) -> list[Plotted]:
        """Open what can be plotted of it, with a `secret_key` and a `reference_filename`; see `modos.figures`."""
        if self._open_plotted is None:
            raise InvalidInputError(f"{self.id} cannot be plotted", "open its object")
        return self._open_plotted(**options)

    @property
    def store(self) -> TreeStore:
        """Its Zarr tree as a store of zarr-python; see `open_store`."""
        return self.open_store()

    def open_store(
        self,
        *,
        secret_key: SecretKey | str | Path | None = None,
        passphrase: str | None = None,
        allow_pickle: bool = False,
    ) -> TreeStore:
        """Open its Zarr tree as a store of zarr-python, read-only; each byte is compared with its digest as it is read.

        Parameters
        ----------
        secret_key
            The key, or its file, that an encrypted tree is decrypted with, as
            it is read. Such a store cannot be pickled.
        passphrase
            Of the secret key; `C4GH_PASSPHRASE` where it is None.
        allow_pickle
            Read arrays of objects whose codecs run code that is in their chunks.

        Raises
        ------
        InvalidInputError
            Its data are no Zarr tree.
        AccessError
            It is encrypted, and there is no key.
        IntegrityError
            The key does not decrypt it, or it is damaged.
        """
        path = self._attributes.get("data_path") or ""
        if self._open_tree is None or not is_tree_path(path):
            raise InvalidInputError(f"{self.id} is no Zarr tree" + (f": its data are {name_data(path)}" if path else ""))
        return self._open_tree(secret_key, passphrase, allow_pickle)

    def to_zarr(self, **options: Any) -> Any:
        """Open its Zarr tree with zarr-python, read-only: a zarr.Group, or a zarr.Array; options as of `open_store`.

        Of an element that is kept as arrays of the object, these.
        """
        if self._open_arrays and is_array_path(self._attributes.get("data_path") or ""):
            return self._open_arrays()
        from modos.trees.tree_opening import open_group

        return open_group(self.open_store(**options))

    def to_anndata(self, *, lazy: bool = False, **options: Any) -> AnnData:
        """Open its Zarr tree as AnnData (extra `singlecell`).

        Parameters
        ----------
        lazy
            Read nothing but the metadata now; what is asked for is read then, through Dask.
        options
            As of `open_store`.
        """
        from modos.trees.tree_opening import open_anndata

        return open_anndata(self.open_store(**options), lazy=lazy)

    def to_mudata(self, **options: Any) -> MuData:
        """Open its Zarr tree as MuData (extra `singlecell`); options as of `open_store`."""
        from modos.trees.tree_opening import open_mudata

        return open_mudata(self.open_store(**options))

    def to_spatialdata(self, **options: Any) -> SpatialData:
        """Open its Zarr tree as SpatialData (extra `spatial`); options as of `open_store`.

        That package reads files of a folder: a tree that is encrypted, or not
        on this machine, is copied to a temporary folder that nobody else can
        read, and that is removed with what is returned.
        """
        from modos.trees.tree_opening import open_spatialdata

        return open_spatialdata(self.open_store(**options))

    def to_xarray(self, group: str | None = None, **options: Any) -> Dataset:
        """Open its Zarr tree, or a group of it, as an xarray.Dataset, lazily (extra `xarray`); options as of `open_store`."""
        from modos.trees.tree_opening import open_xarray

        return open_xarray(self.open_store(**options), group)

    def __getitem__(self, slot: str) -> Any:
        return self._attributes[slot]

    def __iter__(self) -> Iterator[str]:
        return iter(self._attributes)

    def __len__(self) -> int:
        return len(self._attributes)

    @always
    def __repr__(self) -> str:
        return escape_line(f"<{self._attributes.get('@type', 'element')} {self.id}>")

    @always
    def _repr_html_(self) -> str:
        has_tree = self._open_tree and is_tree_path(self._attributes.get("data_path") or "")
        return element_html(self.id, self._attributes, self.open_store if has_tree else None)
