"""Match the names in a header with samples of an object."""

from __future__ import annotations

from collections.abc import Sequence

from modos.errors import InvalidInputError, listing
from modos.metadata.description import Matcher
from modos.metadata.description.matching import fold_name
from modos.object.enrichment import Header, Names, free_id
from modos.object.transaction import Transaction

_NEW = "new"  # the answer for a sample of its own


class Samples:
    """Samples of an object, by their names."""

    def __init__(self, transaction: Transaction, matcher: Matcher):
        self._transaction, self._matcher = transaction, matcher
        self._known = Names(transaction, "sample")
        self._like: dict[str, list[tuple[str, str]]] = {}
        for id in transaction.view.ids():
            if id.startswith("sample/"):
                self._note(id, transaction.view.element(id).get("name"))

    def find_by_header(self, header: Header, told: list[str]) -> list[str]:
        """Find the samples of a header, and add those that the object has none of, nor one like them; `told` gets words."""
        beside: dict[str, list[str]] = {}
        for name in header.samples:
            beside.setdefault(fold_name(name), []).append(name)
        found: dict[str, str | None] = {}
        for name in header.samples:
            found[name] = self._find_or_add(name, beside[fold_name(name)], set(found.values()))
        samples = list(dict.fromkeys(id for id in found.values() if id))
        left_out = [name for name, id in found.items() if not id]
        if samples or not left_out:
            told.append(
                f"{'sample' if len(samples) == 1 else 'samples'} {listing(samples, 5)}" if samples else "no samples in its header"
            )
        if left_out:
            told.append(f"without {listing(left_out, 5)}, as was said")
        return samples

    def _find_or_add(self, name: str, beside: Sequence[str], others: set[str | None]) -> str | None:
        """Find or add the sample of a name in a header; None if the mapping leaves it out.

        Parameters
        ----------
        beside
            The names in the header that are like it.
        others
            The samples of the names before it.
        """
        key = f"has_sample:{name}"
        wanted = self._matcher.use(key)
        if wanted == "":
            return None
        if wanted and wanted != name:
            return self._follow_mapping(key, wanted)
        found = self._find(name)
        if len(found) == 1:
            return found[0]
        near = found or ([] if wanted else self._find_like(name, beside, others))
        if near:
            answer = self._matcher.ask and self._matcher.ask(
                f"which sample is {name}?", near, [*near, *([] if found else [_NEW])]
            )
            if not answer:
                plain = near[0].partition("/")[2]
                raise InvalidInputError(
                    f"the sample {name} may be {' or '.join(near)}",
                    f"say which: --map '{key}={near[0] if plain == name else plain}'"
                    + ("" if found else f", or --map '{key}={name}' for one of its own"),
                )
            if answer != _NEW:
                return answer
        return self._add(name)

    def _follow_mapping(self, key: str, wanted: str) -> str:
        id = f"sample/{wanted.removeprefix('sample/')}"
        if id in self._transaction.view:
            return id
        found = self._find(wanted)
        if len(found) == 1:
            return found[0]
        raise InvalidInputError(
            f"{key} cannot be {wanted}: there {'are several such samples' if found else 'is no such sample'}",
            f"say which: {listing(found)}" if found else "name one of the object's, or add it before",
        )

    def _note(self, id: str, name: str | None) -> None:
        for one in dict.fromkeys([id.partition("/")[2], *([] if name is None else [name])]):
            self._like.setdefault(fold_name(one), []).append((id, one))

    def _find(self, name: str) -> list[str]:
        """Find the samples of that id or name."""
        return list(dict.fromkeys(self._known.find(name)))

    def _find_like(self, name: str, beside: Sequence[str], others: set[str | None]) -> list[str]:
        """Find samples whose id or name differs only in case, spaces, `_` or `-`, and is no other sample's of the same file."""
        others = others | {id for one in beside for id in self._find(one)}
        return [id for id in dict.fromkeys(id for id, _ in self._like.get(fold_name(name), ())) if id not in others]

    def _add(self, name: str) -> str:
        id = self._transaction.add_element(
            {"id": free_id(self._transaction.view, "sample", name), "@type": "Sample", "name": name}
        )
        self._note(id, name)
        return self._known.add(id, name)
