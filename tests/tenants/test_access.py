"""Grants: what is held, what is lacking, what a key keeps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tenants.access import Grants, explain

READER = Grants(frozenset({"mail.messages.read"}), role="viewer")
OWNER = Grants(frozenset(), all_permission=True, role="owner")
names = st.frozensets(st.sampled_from(["a.b.c", "a.b.d", "x.y.z"]))


def test_permission_when_held_is_allowed():
    assert READER.allows("mail.messages.read")


def test_permission_when_not_held_is_denied():
    assert not READER.allows("mail.messages.create")
    assert not READER.allows("mail.messages")
    assert not Grants(frozenset({"mail.*"})).allows("mail.messages.read")


def test_permission_when_all_are_held_is_allowed():
    assert OWNER.allows("anything.at.all")


def test_lacking_when_some_are_missing_names_them_sorted():
    assert READER.lacking(["z.z.z", "a.a.a", "mail.messages.read"]) == ("a.a.a", "z.z.z")


def test_lacking_when_everything_is_wanted_needs_everything():
    assert READER.lacking([], all_permission=True) == ("all_permission",)
    assert OWNER.lacking(["x.y.z"], all_permission=True) == ()


@given(held=names, everything=st.booleans(), wanted=names)
def test_narrowed_never_allows_more_than_either(held, everything, wanted):
    grants = Grants(held, everything)
    narrow = grants.narrowed(wanted)
    assert not narrow.all_permission
    assert all(grants.allows(name) and name in wanted for name in narrow.permissions)
    assert (grants.lacking(narrow.permissions)) == ()


def test_explain_when_asked_agrees_with_the_decision_and_names_the_role():
    for grants in (READER, OWNER, Grants(frozenset())):
        for permission in ("mail.messages.read", "mail.messages.create"):
            allowed, why = explain(grants, permission)
            assert allowed == grants.allows(permission)
            assert any(permission in sentence for sentence in why)
    assert "viewer" in explain(READER, "x.y.z")[1][0]
