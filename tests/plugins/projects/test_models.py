from __future__ import annotations

import pytest

from plugins.projects.models import Priority, PriorityField, Task


def test_priority_field_when_stored_then_ranks_follow_urgency_and_come_back_as_names() -> None:
    field = PriorityField()
    ranks = [field.to_db_value(name, Task) for name in ("low", "normal", "high", "urgent")]
    assert ranks == sorted(ranks)
    assert [field.to_python_value(rank) for rank in ranks] == list(Priority)


def test_priority_field_when_name_unknown_then_value_error() -> None:
    with pytest.raises(ValueError, match="banana"):
        PriorityField().to_db_value("banana", Task)


def test_task_indexes_when_listed_then_each_begins_with_the_tenant() -> None:
    assert all(index.fields[0] == "tenant_id" for index in Task._meta.indexes)
