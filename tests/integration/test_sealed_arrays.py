"""Tracks, sequences and matrices that are kept as arrays: sealed, read with the key as before, and opened equal to what they were."""

from __future__ import annotations

import io
import json
import pickle
import zipfile

import numpy as np
import pytest
import zarr
from crypt4gh.lib import decrypt as crypt4gh_decrypt

from modos.api import MODO
from modos.encryption.keys import SecretKey
from modos.errors import (
    AccessError,
    AlreadyExistsError,
    ConflictError,
    DecryptError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    TransportError,
)
from modos.formats import files_name, header_key, parts_name
from modos.server.app import create_app
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from modos.tracks.conditions import Condition
from modos.tracks.packing import are_same_values
from tests.faults.conftest import Place, check_whole, expected_files, fail, files, interrupted, killed_at, place  # noqa: F401
from tests.integration.test_trees import flip, put, stored
from tests.support.commands import run
from tests.support.proxy import Proxy

pytestmark = pytest.mark.sweep(24)

ME, HER = SecretKey.random(), SecretKey.random()
LENGTHS = {"chr1": 300_000, "chr2": 120_000, "chrM": 900}
ALL = ["data/decimals", "data/floats", "data/steps", "data/masked", "reference/genome"]
REGIONS = [("chr1", 0, 1000), ("chr1", 99_500, 100_500), ("chr2", 1, 1001), ("chr1", 299_000, 300_000), ("chr2", 65_000, 66_000)]


def make_values(kind: str) -> dict[str, np.ndarray]:
    """Values of each contig: decimals, numbers of all bits, or steps."""
    random, made = np.random.default_rng(len(kind)), {}
    for name, n in LENGTHS.items():
        if kind == "decimals":
            values = (random.integers(-30_000, 30_000, n) / 1000).astype(np.float32)
            values[n // 3 : n // 2] = np.nan
        elif kind == "floats":
            values = random.normal(size=n).astype(np.float32)
        else:
            values = np.repeat(random.integers(0, 9, n // 50 + 1), 50)[:n].astype(np.float32)
            values[np.repeat(random.random(n // 50 + 1) < 0.3, 50)[:n]] = np.nan
        made[name] = values
    return made


TRUTH = {kind: make_values(kind) for kind in ("decimals", "floats", "steps")}
MASKED = {name: np.where(values < 3, np.nan, values).astype(np.float32) for name, values in TRUTH["steps"].items()}
BASES = {name: "".join(np.random.default_rng(n).choice(list("ACGTacgtN"), n)) for name, n in LENGTHS.items()}


@pytest.fixture
def modo(place, tmp_path) -> MODO:  # noqa: F811
    """An object with a sequence and tracks of each form, of which one has a mask."""
    made = MODO.create(place.new(), id="ex", **place.options)
    (tmp_path / "genome.fa").write_text("".join(f">{name}\n{bases}\n" for name, bases in BASES.items()))
    made.add_genome(tmp_path / "genome.fa")
    with made.track_changes() as tracks:
        for kind, values in TRUTH.items():
            tracks.add(kind, values)
        tracks.add("masked", TRUTH["steps"])
    made.mask_track("masked", Condition("lt", 3))
    return made


@pytest.fixture
def sealed(modo) -> MODO:
    """The same, all of it sealed."""
    assert modo.encrypt(ME.public, elements=ALL) == ALL
    return modo


def check_truth(modo: MODO, **options) -> None:
    """Compare all that is read of tracks with numpy."""
    genome = modo.open_genome(**options)
    assert genome.tracknames_continuous == ["decimals", "floats", "steps", "masked"]
    for name, truth in {**TRUTH, "masked": MASKED}.items():
        track = genome.tracks[name]
        for contig, values in truth.items():
            assert are_same_values(track.values(contig), values), (name, contig)
            present = values[~np.isnan(values)].astype(float)
            for found in (track.of_contig(contig), track.scan(contig)):
                assert found.n == len(present) and np.isclose(found.mean, present.mean()), (name, contig)
                assert (found.min, found.max) == (present.min(), present.max())
            n, mean, low, high = track.zoom(contig, 3)
            assert n.sum() == len(present) and np.nanmin(low) == present.min() and np.nanmax(high) == present.max()
    windows = genome.windows(REGIONS)
    for row, (contig, start, end) in enumerate(REGIONS):
        for column, truth in enumerate([*TRUTH.values(), MASKED]):
            assert are_same_values(windows[row, column], truth[contig][start:end])
    for contig, bases in BASES.items():
        assert genome[contig].seq[:].tobytes().decode() == bases


def describe(modo: MODO) -> tuple:
    """Arrays without the token in their names, and what elements say, without dates and tags of chance."""
    nodes = {}
    for path, node in modo._document.nodes.items():
        folder, _, name = path.rpartition("/")
        nodes[f"{folder}/{name.partition('-')[0]}"] = {k: v for k, v in node.items() if k != "consolidated_metadata"}
    return nodes, {i: {k: v for k, v in a.items() if not k.endswith("_date")} for i, a in modo.metadata.items()}


def test_all_is_read_with_the_key_and_opened_as_it_was(modo):
    check_truth(modo)
    before, keys = describe(modo), {key.partition("-")[0] for key in files(modo.storage)}
    assert set(modo.encrypt(ME.public)) >= set(ALL[:4])
    modo.encrypt(ME.public, elements=["genome"])
    assert modo.encrypt(ME.public, elements=ALL) == modo.encrypt(ME.public) == []
    element = modo["data/steps"]
    assert element["data_path"] == "steps.zarr.c4gh" and element["recipients"] == [str(ME.public)]
    assert modo["reference/genome"]["data_path"] == "genome.zarr.c4gh"
    assert modo.find_problems() == [] and modo._document.array_folders() == set()
    check_truth(modo, secret_key=ME)
    assert modo.verify_encryption(ME) == ["reference/genome", "data/decimals", "data/floats", "data/steps", "data/masked"]
    assert len(modo.decrypt(ME)) == 5 and modo.decrypt(ME) == []
    assert describe(modo) == before and {key.partition("-")[0] for key in files(modo.storage)} == keys
    assert modo.find_problems() == [] and files(modo.storage) - {".modos/.commit.lock"} == expected_files(modo)
    check_truth(modo)


def test_nothing_is_told_without_the_key(sealed, modo):
    blob = b"".join(sealed.storage.read(key)[0] for key in files(sealed.storage))
    assert not any(word in blob for word in (b"values-", b"runs-", b"zoom-", b"statistics-", b"shard_", b"sequence-"))
    assert not any(values[500:520].tobytes() in blob for values in TRUTH["floats"].values())
    assert BASES["chr1"][:40].encode() not in blob
    assert not [key for key in files(sealed.storage) if "/c/" in key or key.endswith("/parts")]
    genome = sealed.genome
    assert list(genome.tracks) == ["decimals", "floats", "steps", "masked"] and genome.contigs.lengths == LENGTHS
    for read in (lambda: genome["chr1"][0:10], lambda: genome.windows(REGIONS), lambda: genome.track("decimals").total):
        with pytest.raises(AccessError, match="the track decimals in .* is encrypted"):
            read()
    with pytest.raises(AccessError, match="the sequence of reference/genome in .* is encrypted"):
        genome["chr1"].seq[0:10]
    for secret in (HER, SecretKey.random()):
        other = sealed.open_genome(secret_key=secret)
        with pytest.raises(DecryptError, match="steps.zarr.c4gh.*not sealed for this key"):
            other.track("steps").values("chr1")
        with pytest.raises(DecryptError, match="genome.zarr.c4gh"):
            other["chr1"].seq[0:10]
        with pytest.raises(DecryptError):
            sealed.decrypt(secret)
    opened = sealed.open_genome(secret_key=ME)
    for what in (opened, opened.track("steps"), opened.track("steps").opened):
        with pytest.raises(InvalidInputError, match="cannot be pickled"):
            pickle.dumps(what)
    assert sealed.find_problems() == []


def test_header_and_body_are_a_file_of_crypt4gh(sealed, tmp_path):
    """The package of others opens it to a zip file, in which zarr finds the arrays."""
    element = sealed["data/decimals"]
    head = sealed.storage.read(header_key(element))[0]
    (body,) = stored(sealed.storage, element["data_path"]).values()
    with open(tmp_path / "tree.zip", "wb") as target:
        crypt4gh_decrypt([(0, ME.raw, None)], io.BytesIO(head + body), target)
    with zipfile.ZipFile(tmp_path / "tree.zip") as file:
        assert file.testzip() is None
    for options in ({"use_consolidated": True}, {"use_consolidated": False}):
        with zarr.storage.ZipStore(tmp_path / "tree.zip", mode="r") as store:
            root = zarr.open_group(store, mode="r", **options)
            names = {name.partition("-")[0]: name for name in root.array_keys()}
            assert set(names) == {"values", "zoom", "statistics"}
            array = root[names["values"]]
            chr1 = array[: LENGTHS["chr1"]].astype(float)
            filled = np.where(chr1 == np.iinfo(array.dtype).min, np.nan, chr1 / array.attrs["divisor"])
            assert np.allclose(filled, TRUTH["decimals"]["chr1"], equal_nan=True)
    again = sealed["data/decimals"].to_zarr(secret_key=ME)
    assert set(again.array_keys()) == set(names.values())


def test_more_people_open_it(sealed):
    bodies = {i: stored(sealed.storage, sealed[i]["data_path"]) for i in ("data/steps", "reference/genome")}
    assert len(sealed.share(ME, HER.public)) == 5
    check_truth(sealed, secret_key=HER)
    assert {i: stored(sealed.storage, sealed[i]["data_path"]) for i in bodies} == bodies
    assert sealed.revoke(ME, HER.public, elements=["data/steps"]) == ["data/steps"]
    with pytest.raises(DecryptError):
        sealed.open_genome(secret_key=HER).track("steps").values("chr1")
    sealed.revoke(ME, HER.public, rotate=True, elements=["data/masked"])
    assert stored(sealed.storage, "masked.zarr.c4gh") == {} and sealed["data/masked"]["data_path"] == "masked~2.zarr.c4gh"
    check_truth(sealed, secret_key=ME)
    assert sealed.find_problems() == [] and len(sealed.decrypt(ME)) == 5
    check_truth(sealed)


def test_every_changed_file_is_told(sealed, place):  # noqa: F811
    """Flipped, swapped, repeated, dropped and rolled-back bytes are errors that name the tree; nothing else is read of it."""
    path = sealed["data/decimals"]["data_path"]
    (name,) = stored(sealed.storage, path)
    body, beside = f"{path}/{name}", [files_name(path), parts_name(path), header_key(sealed["data/decimals"])]
    good = {key: sealed.storage.read(key)[0] for key in (body, *beside)}

    def is_told():
        assert [f for f in sealed.find_problems() if not f.harmless], "check says nothing"
        with pytest.raises((IntegrityError, ConflictError), match="decimals.zarr.c4gh"):
            track = place.open(sealed.storage.url).open_genome(secret_key=ME).track("decimals")
            for contig in LENGTHS:
                track.values(contig)
            track.total, track.zoom("chr1", 2), sealed.verify_encryption(ME, ["data/decimals"])
        with pytest.raises((IntegrityError, NotFoundError)):
            sealed.decrypt(ME, elements=["data/decimals"])
        assert sealed["data/decimals"]["data_path"] == path

    segment, whole = 65_564, good[body]
    assert len(whole) > 3 * segment
    for key in good:
        flip(sealed.storage, key, len(good[key]) // 2)
        is_told()
        put(sealed.storage, key, good[key])
    for damaged in (
        whole[segment : 2 * segment] + whole[:segment] + whole[2 * segment :],  # swapped
        whole[:segment] + whole[:segment] + whole[2 * segment :],  # repeated
        whole[:segment] + whole[2 * segment :],  # dropped
        whole[:-1],
    ):
        put(sealed.storage, body, damaged)
        is_told()
    sealed.storage.delete(body)
    is_told()
    put(sealed.storage, body, whole)
    assert sealed.find_problems() == []
    sealed.decrypt(ME, elements=["data/decimals"])
    sealed.encrypt(ME.public)
    path = sealed["data/decimals"]["data_path"]
    put(sealed.storage, f"{path}/{name}", whole)  # it opens with the key, and is not what was committed
    is_told()


def test_a_region_takes_few_requests(place, sealed):  # noqa: F811
    """From afar the segments of a region are fetched, and those that were decrypted are not fetched again."""
    if not place.is_remote:
        pytest.skip("requests are counted at S3")
    with Proxy(place.options["services"]["s3"]) as proxy:
        options = place.options | {"services": {"s3": proxy.url}}
        genome = MODO.open(sealed.storage.url, **options).open_genome(secret_key=ME)
        assert len(proxy.requests) <= 2  # the root alone: tracks are opened when they are read
        genome.check_tracks()
        begun, answered = len(proxy.requests), proxy.answered
        found = genome["chr1"][120_000:130_000]
        assert len(proxy.requests) - begun <= 10 and proxy.answered - answered < 2 << 20
        assert {method for method, *_ in proxy.requests[begun:]} == {"GET"}
        begun = len(proxy.requests)
        assert are_same_values(genome["chr1"][121_000:122_000], found[1000:2000]) and len(proxy.requests) == begun
        for column, truth in enumerate([*TRUTH.values(), MASKED]):
            assert are_same_values(np.ascontiguousarray(found[:, column]), truth["chr1"][120_000:130_000])


def test_a_body_in_the_place_of_another_is_told(sealed):
    one, other = (sealed[i]["data_path"] for i in ("data/steps", "data/masked"))
    whole = {key: sealed.storage.read(key)[0] for key in files(sealed.storage) if key.startswith(f"{other}")}
    for key, data in whole.items():
        if ".header-" not in key:
            put(sealed.storage, one + key[len(other) :], data)
    with pytest.raises(IntegrityError, match="steps.zarr.c4gh"):
        sealed.open_genome(secret_key=ME).track("steps").values("chr1")
    assert sealed.find_problems()


def test_changes_that_need_no_key_are_made_and_the_others_are_refused(sealed, tmp_path):
    path = tmp_path / "x.bedGraph"
    path.write_text("chrM\t0\t10\t1\n")
    for change in (
        lambda: sealed.append_track("steps", {"chrM": np.ones(900)}),
        lambda: sealed.replace_track("steps", str(path)),
        lambda: sealed.mask_track("steps", Condition("lt", 3)),
        lambda: sealed.unmask_track("masked"),
        lambda: sealed.open_genome(secret_key=ME)["chr1"].__setitem__((slice(0, 2), "steps"), 1),
    ):
        with pytest.raises(InvalidInputError, match="is encrypted, and only plain tracks are changed"):
            change()
    with pytest.raises(InvalidInputError, match="kept as arrays, which are encrypted"):
        sealed.update_element("data/steps", {}, path)
    with pytest.raises(InvalidInputError, match="kept as arrays, which are encrypted"):
        sealed.update_element("data/steps", {"data_path": "other.zarr"})
    with pytest.raises(InvalidInputError, match="kept as arrays, which are encrypted"):
        sealed.update_element("reference/genome", {"data_path": None, "assembly": "hg38"})
    with pytest.raises(AlreadyExistsError, match="there is a track steps already"):
        sealed.add_track("steps", str(path))
    with pytest.raises(InvalidInputError, match="data/masked"):
        sealed.remove_element("reference/genome")
    assert sealed.rename_track("steps", "stairs") == "data/steps"
    sealed.add_track("late", {"chrM": np.arange(900, dtype=np.float32)})
    assert sealed.genome.tracknames_continuous == ["decimals", "floats", "stairs", "masked", "late"]
    assert sealed.remove_track("masked") == "data/masked"
    assert not [key for key in files(sealed.storage) if "masked" in key] and sealed.find_problems() == []
    sealed.decrypt(ME)
    genome = sealed.genome
    assert genome.tracknames_continuous == ["decimals", "floats", "stairs", "late"] and sealed.find_problems() == []
    assert are_same_values(genome.track("stairs").values("chr1"), TRUTH["steps"]["chr1"])


def test_a_damaged_track_is_not_sealed(modo):
    key = modo.genome.track("floats").data.spec.key(0)
    flip(modo.storage, key, 70_000)
    with pytest.raises(IntegrityError, match="floats"):
        modo.encrypt(ME.public)
    assert not [key for key in files(modo.storage) if "c4gh" in key] and modo["data/steps"]["data_path"] == "data.zarr/data/steps"
    modo.storage.delete(key)
    with pytest.raises(IntegrityError, match="floats.* is gone"):
        modo.encrypt(ME.public)
    with pytest.raises(InvalidInputError, match="both encrypted and plain"):
        modo.encrypt(ME.public, delete=False)


def test_names_that_files_have_are_left_to_them(place, tmp_path):  # noqa: F811
    modo = MODO.create(place.new(), id="ex", **place.options)
    (tmp_path / "sizes").write_text("chr1\t1000\n")
    modo.add_genome(sizes=tmp_path / "sizes")
    zarr.save(tmp_path / "a.zarr", np.arange(9))
    modo.add_element({"id": "m", "@type": "DataEntity"}, tmp_path / "a.zarr")
    for name in ("a", "data", "a-2"):
        modo.add_track(name, {"chr1": np.ones(1000)})
    modo.encrypt(ME.public)
    paths = {i: a["data_path"] for i, a in modo.metadata.items() if i.startswith("data/")}
    assert paths["data/m"] == "a.zarr.c4gh" and paths["data/data"] == "data-2.zarr.c4gh"
    assert len({path.replace("~2", "") for path in paths.values()}) == 4 and modo.find_problems() == []
    assert len(modo.decrypt(ME)) == 4 and modo["data/m"]["data_path"] == "a.zarr"
    assert modo.genome.tracknames_continuous == ["a", "data", "a-2"] and modo.find_problems() == []


@pytest.mark.sweep(10)
@pytest.mark.parametrize("at", range(30))
@pytest.mark.parametrize("what", ["encrypt", "decrypt"])
def test_whatever_is_killed_leaves_the_old_or_the_new(place, tmp_path, what, at):  # noqa: F811
    modo = MODO.create(place.new(), id="ex", **place.options)
    (tmp_path / "g.fa").write_text(f">chr2\n{BASES['chr2']}\n>chrM\n{BASES['chrM']}\n")
    modo.add_genome(tmp_path / "g.fa")
    truth = {name: TRUTH["floats"][name] for name in ("chr2", "chrM")}
    modo.add_track("floats", truth)
    both = ["data/floats", "reference/genome"]
    if what == "decrypt":
        modo.encrypt(ME.public, elements=both)

    def change():
        own = place.open(modo.storage.url)
        own.encrypt(ME.public, elements=both) if what == "encrypt" else own.decrypt(ME)

    killed_at(at, change)
    for again in (False, True):
        after = place.open(modo.storage.url)
        check_whole(after.storage)
        is_sealed = {after[i]["data_path"].endswith(".c4gh") for i in both}
        assert len(is_sealed) == 1 and (not again or is_sealed == {what == "encrypt"})
        genome = after.open_genome(secret_key=ME if is_sealed == {True} else None)
        assert are_same_values(genome.track("floats").values("chr2"), truth["chr2"])
        assert bytes(genome["chr2"].seq).decode() == BASES["chr2"]
        change()
    after = place.open(modo.storage.url)
    after.mend([finding for finding in after.find_problems(limit=0) if finding.fixable], limit=0)
    assert after.find_problems(limit=0) == []
    of_trees = {key for i in both for key in after.files_of(i)}
    assert files(after.storage) - expected_files(after) - of_trees <= {".modos/.commit.lock"}


@pytest.mark.parametrize("what", ["encrypt", "decrypt"])
def test_what_fails_leaves_nothing(modo, what):
    if what == "decrypt":
        modo.encrypt(ME.public)
    before = files(modo.storage)
    with interrupted(5, fail), pytest.raises(TransportError):
        modo.encrypt(ME.public) if what == "encrypt" else modo.decrypt(ME)
    assert files(modo.storage) == before and modo.find_problems() == []


def test_two_writers(place, modo):  # noqa: F811
    """Contigs that are added while a track is sealed: one of both is told, and no value is lost."""
    other = place.open(modo.storage.url)
    with pytest.raises((ConflictError, IntegrityError), match="somebody else"), modo._object.transaction() as transaction:
        from modos.object.encryption_changes import encrypt_elements

        encrypt_elements(transaction, [ME.public], chosen=["data/steps"])
        other.replace_track("steps", {"chr1": np.ones(300_000)})
    assert modo["data/steps"]["data_path"] == "data.zarr/data/steps"
    other.add_track("new", {"chrM": np.ones(900)})
    with pytest.raises(ConflictError, match="by somebody else"), modo.track_changes() as tracks:
        tracks.append("new", {"chr2": np.ones(120_000)})
        other.encrypt(ME.public, elements=["data/new"])
    assert modo.find_problems() == []
    assert place.open(modo.storage.url).open_genome(secret_key=ME).track("new").total.n == 900


def test_what_others_change_meanwhile_is_told(sealed, place):  # noqa: F811
    """A genome that was opened before: tracks that are read for the first time now say that somebody has changed them."""
    for change in (
        lambda modo: modo.share(ME, HER.public, ["data/steps"]),
        lambda modo: modo.revoke(ME, HER.public, ["data/steps"], rotate=True),
        lambda modo: modo.decrypt(ME, elements=["data/steps"]),
        lambda modo: modo.remove_element("data/steps"),
    ):
        genome, other = place.open(sealed.storage.url).open_genome(secret_key=ME), place.open(sealed.storage.url)
        assert are_same_values(genome.track("masked").values("chr1"), MASKED["chr1"])
        change(other)
        with pytest.raises(ConflictError, match="data/steps"):
            genome.track("steps").values("chr1")
        assert are_same_values(genome.track("masked").values("chr2"), MASKED["chr2"])
        if "data/steps" in other.metadata and not other["data/steps"]["data_path"].endswith(".c4gh"):
            other.encrypt(ME.public)


def test_a_description_of_before_fits(sealed):
    """The place of the arrays means the encrypted ones, too: what a description of the plain object says changes nothing."""
    before = sealed["data/steps"]
    sealed.update_element("data/steps", {"data_path": "data.zarr/data/steps", "description": "Steps"})
    assert dict(sealed["data/steps"]) == dict(before) | {"description": "Steps"}
    sealed.update_element("data/steps", {"data_path": "steps.zarr", "description": "More"})
    assert sealed["data/steps"]["data_path"] == "steps.zarr.c4gh"
    check_truth(sealed, secret_key=ME)


def test_arrays_that_appear_beside_are_not_left_open(modo):
    """Another program adds an array to the element meanwhile: that is told, as it would stay plain."""
    document = modo._document
    path = next(path for path in document.arrays_of("data/steps") if "zoom" in path)
    from modos.object import commits
    from modos.object.encryption_changes import encrypt_elements

    with pytest.raises(ConflictError, match="arrays of data/steps"), modo._object.transaction() as transaction:
        encrypt_elements(transaction, [ME.public], chosen=["data/steps"])
        commits.commit(modo.storage, lambda newest: newest.set_nodes((), {"data/steps/more": newest.nodes[path]}))


def test_it_is_copied_packed_and_served(sealed, tmp_path):
    copy = sealed.download(tmp_path / "objects" / "copy")
    assert copy.find_problems() == []
    check_truth(copy, secret_key=ME)

    assert run(["pack", copy.storage.url, tmp_path / "ex.zip"]).returncode == 0
    check_truth(MODO.open(tmp_path / "ex.zip"), secret_key=ME)
    assert MODO.open(tmp_path / "ex.zip").find_problems() == []
    with BackgroundServer(create_app(open_storage(tmp_path / "objects"))) as server:
        check_truth(MODO.open(f"{server.url}/files/copy"), secret_key=ME)
    copy.decrypt(ME)
    check_truth(copy)


def test_matrices_of_others_are_sealed_and_opened(tmp_path):
    """Arrays below an element that zarr wrote, as the peer does, in groups in groups; nothing is recorded of their chunks."""
    modo = MODO.create(tmp_path / "ex")
    modo.add_element({"id": "rna1", "@type": "Array", "data_path": "rna1.zarr", "data_format": "Zarr"})
    root = zarr.open_group(tmp_path / "ex" / "data.zarr", mode="r+", use_consolidated=False)
    element = root["data/rna1"]
    random = np.random.default_rng(1)
    element.create_array("X", data=random.integers(0, 99, (300, 40)), chunks=(50, 40))
    element.create_array("obs/names", data=np.array([f"cell{n}" for n in range(300)], dtype="U8"))
    element.create_array("layers/log/c", data=random.random((30, 4)), chunks=(10, 4), shards=(30, 4))
    element.create_array("empty", shape=(10,), chunks=(5,), dtype="i4")
    element.attrs["data_path"] = "data/rna1"
    zarr.consolidate_metadata(tmp_path / "ex" / "data.zarr")
    modo = MODO.open(tmp_path / "ex")
    assert modo["data/rna1"]["data_path"] == "data.zarr/data/rna1"

    def read(**options):
        group = modo["data/rna1"].to_zarr(**options)
        return {
            name: (member[...].tolist(), member.metadata.to_dict())
            for name, member in group.members(None)
            if hasattr(member, "shape")
        }

    before, keys = read(), files(modo.storage)
    assert len(before) == 4
    assert modo.encrypt(ME.public) == ["data/rna1"] and modo["data/rna1"]["data_path"] == "rna1.zarr.c4gh"
    assert modo.find_problems() == [] and not [key for key in files(modo.storage) if "/c/" in key]
    with pytest.raises(AccessError):
        read()
    assert read(secret_key=ME) == before
    assert modo.decrypt(ME) == ["data/rna1"] and modo["data/rna1"]["data_path"] == "data.zarr/data/rna1"
    assert read() == before and files(modo.storage) >= keys and modo.find_problems() == []
    plain = zarr.open_group(tmp_path / "ex" / "data.zarr", mode="r", use_consolidated=False)["data/rna1"]
    assert plain["X"][...].tolist() == before["X"][0]


def test_older_tracks_are_compared_with_their_checksum(tmp_path):
    """An array without digests of its parts has a checksum of all shards: a changed one is not sealed."""
    modo = MODO.create(tmp_path / "ex")
    (tmp_path / "sizes").write_text("chr1\t300000\n")
    modo.add_genome(sizes=tmp_path / "sizes")
    modo.add_track("a", {"chr1": TRUTH["floats"]["chr1"]})
    from modos.object import commits
    from modos.tracks.arrays import shard_checksum
    from modos.tracks.zarr_layout import ArraySpec

    def forget(document):
        for path, node in document.arrays_of("data/a").items():
            attributes = {k: v for k, v in node["attributes"].items() if k != "shard_digest"}
            attributes["shard_checksum"] = shard_checksum(modo.storage, ArraySpec.from_node(path, node))
            document.set_nodes([path], {path: node | {"attributes": attributes}})

    commits.commit(modo.storage, forget)
    key = modo.genome.track("a").data.spec.key(0)
    good = modo.storage.read(key)[0]
    flip(modo.storage, key, 1000)
    with pytest.raises(IntegrityError):
        modo.encrypt(ME.public)
    put(modo.storage, key, good)
    modo.encrypt(ME.public)
    assert are_same_values(modo.open_genome(secret_key=ME).track("a").values("chr1"), TRUTH["floats"]["chr1"])
    modo.decrypt(ME)
    assert are_same_values(modo.genome.track("a").values("chr1"), TRUTH["floats"]["chr1"])


@pytest.fixture
def commands(tmp_path):
    """Runs commands in a folder with an object of real tracks, and keys."""

    def call(*words, code=0):
        done = run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == code, (words, done.stderr)
        return done

    call("c4gh", "keygen", "--no-passphrase", "me.sec")
    call("c4gh", "keygen", "--no-passphrase", "her.sec")
    return call


READING = [
    ("track", "list", "ex", "--json"),
    ("track", "info", "ex", "phyloP", "--json"),
    ("track", "query", "ex", "-r", "chr1:4,800-5,100"),
    ("track", "query", "ex", "dnase", "--runs", "-r", "chr1"),
    ("track", "stats", "ex"),
    ("track", "stats", "ex", "-r", "chr1:1-9,000", "phyloP"),
    ("track", "stats", "ex", "--by-contig"),
    ("track", "stats", "ex", "--histogram", "7"),
    ("track", "plot", "ex", "chr1", "-w", "40"),
    ("track", "export", "ex", "phyloP", "-O", "wig"),
    ("track", "export", "ex", "dnase", "-O", "bedGraph"),
    ("genome", "seq", "ex", "chr1:1-200"),
]


def test_each_command_reads_real_tracks_with_the_key(commands, tmp_path, shared_data):
    """What each says of sealed tracks is what it says of plain ones; a bigWig of one has the same values in another program."""
    import pybigtools

    folder = shared_data / "genomedata"
    commands("create", "ex")
    commands("genome", "init", "ex", folder / "chr1.short.fa")
    commands("track", "add", "ex", f"phyloP={folder / 'chr1.phyloP44way.vertebrate.short.wigFix'}", "--clip")
    commands("track", "add", "ex", f"dnase={folder / 'wgEncodeDukeDNaseSeqBaseOverlapSignalK562V2.bedGraph'}", "--clip")
    before = {words: commands(*words).stdout for words in READING}
    commands("track", "export", "ex", "phyloP", "-o", "plain.bw")
    told = commands("c4gh", "encrypt", "ex", "data/phyloP", "data/dnase", "reference/genome", "-p", "me.pub", "-y")
    assert "encrypted 3 files" in told.stderr
    for words, expected in before.items():
        found = commands(*words, "--secret-key", "me.sec").stdout
        if "--json" in words:
            rows, truth = json.loads(found), json.loads(expected)
            rows = rows if isinstance(rows, list) else [rows]
            assert [{k: v for k, v in row.items() if k != "encrypted"} for row in rows] == (
                truth if isinstance(truth, list) else [truth]
            )
        else:
            assert found == expected, words
        if words[:2] != ("track", "list"):
            assert "is encrypted" in commands(*words, code=4).stderr
            assert ".zarr.c4gh" in commands(*words, "--secret-key", "her.sec", code=6).stderr
    commands("track", "export", "ex", "phyloP", "-o", "sealed.bw", "--secret-key", "me.sec")
    one, other = (pybigtools.open(str(tmp_path / name)) for name in ("plain.bw", "sealed.bw"))
    assert np.array_equal(one.values("chr1"), other.values("chr1"), equal_nan=True) and one.chroms() == other.chroms()
    assert json.loads(commands("track", "list", "ex", "--json").stdout) == [
        {"name": "phyloP", "id": "data/phyloP", "encrypted": True},
        {"name": "dnase", "id": "data/dnase", "encrypted": True},
    ]
    assert commands("track", "list", "ex").stdout.count("encrypted") == 2
    assert "values" in commands("show", "ex", "--zarr", "data/phyloP", "--secret-key", "me.sec").stdout
    assert "ex is whole" in (told := commands("check", "ex")).stderr + told.stdout
    assert "5 elements" not in told.stdout
    commands("track", "rename", "ex", "dnase", "open")
    assert "decrypt it first" in commands("track", "mask", "ex", "open", "lt", "1", code=2).stderr
    commands("track", "remove", "ex", "open", "--yes")
    commands("c4gh", "decrypt", "ex", "-s", "me.sec")
    assert (
        commands("track", "export", "ex", "phyloP", "-O", "wig").stdout == before["track", "export", "ex", "phyloP", "-O", "wig"]
    )


def test_arrays_that_stay_open_are_told(tmp_path):
    """An array that is an element itself, and arrays beside a file, are not sealed, and listed."""
    (tmp_path / "g.fa").write_text(">chr1\nACGT\n")
    modo = MODO.create(tmp_path / "ex")
    modo.add_element({"id": "hg", "@type": "ReferenceGenome"}, tmp_path / "g.fa")
    modo.add_genome(reference="hg")
    modo.add_element({"id": "x", "@type": "Array", "data_path": "x.zarr", "data_format": "Zarr"})
    root = zarr.open_group(tmp_path / "ex" / "data.zarr", mode="r+", use_consolidated=False)
    attributes = dict(root["data/x"].attrs) | {"data_path": "data/x"}
    del root["data/x"]
    root.create_array("data/x", data=np.arange(10)).attrs.update(attributes)
    zarr.consolidate_metadata(tmp_path / "ex" / "data.zarr")
    modo = MODO.open(tmp_path / "ex")
    assert modo.encrypt(ME.public, elements=["reference/hg"]) == ["reference/hg"]
    assert modo.encrypt(ME.public) == []
    assert modo.find_open() == {
        "data/x": "as its arrays are not below it",
        "data.zarr/reference/hg": "as arrays beside a file are not",
    }
    with pytest.raises(NotFoundError, match="data/x has no arrays of its own"):
        modo.encrypt(ME.public, elements=["data/x"])
