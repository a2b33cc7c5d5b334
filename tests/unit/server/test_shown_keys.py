"""Many objects are marked as Access says of each one by one, whatever the rules."""

import random

import pytest

from modos.genomics.bounding import Bounds
from modos.genomics.region import Region
from modos.server.auth import Access
from modos.server.rules import ANYONE, Caller, Rule, Rules
from modos.server.shown_keys import mark_readable, mark_shown

PARTS = ("a", "a0", "a-b", "a.zarr", "ex", "ex2", "ex~2", "ex~2.cram", "ex.cram", "é", "日本", "ex.c4gh", "a!", "~2")
BOUNDS = Bounds(regions=(Region("chr1", 0, 10),))


def make_key(rng):
    return "/".join(rng.choices(PARTS, k=rng.randint(1, 3)))


def make_rules(rng):
    people = ["user:bob", "user:eve", "group:lab", "anyone"]
    rules = []
    for _ in range(rng.randint(0, 5)):
        who = frozenset(rng.sample(people, rng.randint(1, 2)))
        read = tuple(rng.choice(["", make_key(rng), make_key(rng), make_key(rng)]) for _ in range(rng.randint(0, 3)))
        if rng.random() < 0.5:
            rules.append(Rule(who, read, bounds=BOUNDS, shows_metadata=rng.random() < 0.5))
        else:
            rules.append(Rule(who, read, write=(make_key(rng),) if rng.random() < 0.3 else ()))
    return Rules(tuple(rules))


@pytest.mark.parametrize("seed", range(60))
def test_marks_are_what_access_says_of_each(seed):
    rng = random.Random(seed)
    access = Access({"a-token-of-somebody": "bob"}, make_rules(rng))
    keys = sorted({make_key(rng) for _ in range(80)} | {""})
    for caller in (Caller("bob"), Caller("bob", frozenset({"lab"})), Caller("dave"), ANYONE):
        assert mark_shown(access, caller, keys).tolist() == [access.shows(caller, key) for key in keys]
        assert mark_readable(access, caller, keys).tolist() == [access.shows_metadata(caller, key) for key in keys]


@pytest.mark.parametrize("access", [Access(), Access({"a-token-of-somebody": "bob"})])
def test_without_rules_it_is_all_or_nothing(access):
    for caller in (Caller("bob"), ANYONE):
        assert mark_shown(access, caller, ["a", "b"]).tolist() == [access.shows(caller, key) for key in ("a", "b")]
