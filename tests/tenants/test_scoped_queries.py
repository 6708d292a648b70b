"""Every way into the ORM, one by one: own rows only, nothing without a tenant, nothing built here and run there.

The ways are listed by reflection. An upgrade of Tortoise that adds a public method or a kind of query fails
`test_every_entry_point_is_classified` until somebody has looked at it and put it into one of the lists below.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from tortoise import queryset as queries
from tortoise.exceptions import DoesNotExist, IntegrityError, MultipleObjectsReturned, ObjectDoesNotExistError
from tortoise.expressions import Q, RawSQL, Subquery
from tortoise.fields.relational import ManyToManyRelation, ReverseRelation
from tortoise.functions import Count, Max
from tortoise.manager import Manager
from tortoise.models import Model, ModelMeta
from tortoise.query_utils import Prefetch

from tenants.context import TenantMissing, Unscoped, WrongTenant, bind, cross_tenant
from tests.tenants.sample_models import Badge, Note, Project, Task


@dataclass
class Own:
    """What a probe may hold in its hands: own instances, and the other tenant's ids."""

    project: Project  # alpha
    task: Task  # alpha-task
    note: Note
    badge: Badge
    their_project: Any
    their_task: Any
    their_instance: Project


async def collected(query: Any) -> list[Any]:
    return [row async for row in query]


async def fetched(row: Model, relation: str) -> Any:
    await row.fetch_related(relation)
    found = getattr(row, relation.partition("__")[0])
    return list(found) if isinstance(found, ReverseRelation) else found


# What a probe does, and what the tenant may see of it. Projects: alpha, beta. Tasks: a task and a step in each.
READS: dict[str, tuple[Callable[[Own], Awaitable[Any]], Any]] = {
    "Model.all": (lambda own: Project.all(), ["alpha", "beta"]),
    "Model.annotate": (lambda own: Project.annotate(tasks_in=Count("tasks")).values("tasks_in"), [{"tasks_in": 2}] * 2),
    "Model.earliest": (lambda own: Project.earliest("-rank"), "beta"),
    "Model.exclude": (lambda own: Project.exclude(name="alpha"), ["beta"]),
    "Model.exists": (lambda own: Project.exists(name="gamma"), False),
    "Model.fetch_for_list": (lambda own: fetch_list(own.project), ["alpha-step", "alpha-task"]),
    "Model.fetch_related": (lambda own: fetched(own.project, "tasks"), ["alpha-step", "alpha-task"]),
    "Model.fetch_related (o2o)": (lambda own: fetched(own.task, "note"), "alpha-note"),
    "Model.fetch_related (up)": (lambda own: fetched(own.note, "task__project"), "alpha-task"),
    "Model.filter": (lambda own: Project.filter(name__in=["beta", "gamma"]), ["beta"]),
    "Model.filter (named tenant)": (lambda own: Project.filter(tenant_id=own.their_instance.tenant_id), []),
    "Model.filter (or)": (lambda own: Project.filter(Q(name="gamma") | Q(name="beta")), ["beta"]),
    "Model.filter (not)": (lambda own: Project.filter(~Q(name="alpha")), ["beta"]),
    "Model.first": (lambda own: Project.first(), "alpha"),
    "Model.get": (lambda own: Project.get(name="beta"), "beta"),
    "Model.get (foreign)": (lambda own: Project.get(id=own.their_project), DoesNotExist),
    "Model.get_or_none": (lambda own: Project.get_or_none(id=own.their_project), None),
    "Model.in_bulk": (lambda own: in_bulk([own.project.id, own.their_project]), ["alpha"]),
    "Model.last": (lambda own: Project.last(), "beta"),
    "Model.latest": (lambda own: Project.latest("name"), "beta"),
    "Model.refresh_from_db": (lambda own: refreshed(own.project), "alpha"),
    "Model.select_for_update": (lambda own: Project.select_for_update().filter(name="beta"), ["beta"]),
    "ModelMeta.__getitem__": (lambda own: Project[own.their_project], ObjectDoesNotExistError),
    "Manager.get_queryset": (lambda own: Project._meta.manager.get_queryset(), ["alpha", "beta"]),
    "Manager.__getattr__": (lambda own: Project._meta.manager.count(), 2),
    "QuerySet.__aiter__": (lambda own: collected(Project.filter()), ["alpha", "beta"]),
    "QuerySet.__await__": (lambda own: Project.filter(), ["alpha", "beta"]),
    "QuerySet.__getitem__": (lambda own: Project.filter().order_by("name")[0:9], ["alpha", "beta"]),
    "QuerySet.all": (lambda own: Project.filter().all(), ["alpha", "beta"]),
    "QuerySet.annotate": (lambda own: Project.filter().annotate(top=Max("tasks__title")).count(), 2),
    "QuerySet.annotate (aggregate)": (lambda own: Project.annotate(n=Count("id")).values_list("n", flat=True), [2]),
    "QuerySet.contains": (lambda own: Project.filter().contains(own.their_instance), False),
    "QuerySet.count": (lambda own: Project.filter().count(), 2),
    "QuerySet.count (distinct join)": (lambda own: Project.filter(tasks__title__contains="-").distinct().count(), 2),
    "QuerySet.distinct": (lambda own: Project.filter().distinct().values_list("name", flat=True), ["alpha", "beta"]),
    "QuerySet.earliest": (lambda own: Project.filter().earliest("name"), "alpha"),
    "QuerySet.exclude": (lambda own: Project.filter().exclude(name="beta"), ["alpha"]),
    "QuerySet.exclude (joined)": (
        lambda own: Project.filter().exclude(tasks__title="alpha-task"),
        ["alpha", "beta", "beta"],
    ),
    "QuerySet.exists": (lambda own: Project.filter(id=own.their_project).exists(), False),
    "QuerySet.filter": (lambda own: Project.filter().filter(rank__lt=9), ["alpha", "beta"]),
    "QuerySet.filter (joined)": (
        lambda own: Task.filter(project__name__in=["alpha", "gamma"]),
        ["alpha-step", "alpha-task"],
    ),
    "QuerySet.filter (back)": (lambda own: Project.filter(tasks=own.their_task), []),
    "QuerySet.filter (null)": (lambda own: Project.filter(tasks__isnull=True), []),
    "QuerySet.filter (subquery)": (
        lambda own: Task.filter(project_id__in=Subquery(Project.filter().values("id"))).count(),
        4,
    ),
    "QuerySet.first": (lambda own: Project.filter().order_by("-name").first(), "beta"),
    "QuerySet.force_index": (lambda own: Project.filter().force_index("x"), ["alpha", "beta"]),
    "QuerySet.get": (lambda own: Project.filter().get(id=own.their_project), DoesNotExist),
    "QuerySet.get_or_none": (lambda own: Project.filter().get_or_none(id=own.their_project), None),
    "QuerySet.group_by": (
        lambda own: Task.annotate(n=Count("id")).group_by("project__name").values_list("project__name", "n"),
        [("alpha", 2), ("beta", 2)],
    ),
    "QuerySet.in_bulk": (lambda own: Project.filter().in_bulk([own.their_project], "id"), {}),
    "QuerySet.last": (lambda own: Project.filter().last(), "beta"),
    "QuerySet.latest": (lambda own: Project.filter().latest("rank"), "beta"),
    "QuerySet.limit": (lambda own: Project.filter().limit(9), ["alpha", "beta"]),
    "QuerySet.offset": (lambda own: Project.filter().order_by("name").offset(1), ["beta"]),
    "QuerySet.only": (lambda own: Project.filter().only("name"), ["alpha", "beta"]),
    "QuerySet.only (joined)": (
        lambda own: Task.filter(parent=None).only("title", "project__name"),
        ["alpha-task", "beta-task"],
    ),
    "QuerySet.order_by": (
        lambda own: Task.filter(parent_id=None).order_by("project__rank"),
        ["alpha-task", "beta-task"],
    ),
    "QuerySet.prefetch_related": (
        lambda own: prefetched(Project.filter(name="beta"), "tasks"),
        ["beta-step", "beta-task"],
    ),
    "QuerySet.prefetch_related (Prefetch)": (
        lambda own: prefetched(Project.filter(name="beta"), Prefetch("tasks", Task.filter(title__contains="step"))),
        ["beta-step"],
    ),
    "QuerySet.select_for_update": (lambda own: Project.filter().select_for_update(), ["alpha", "beta"]),
    "QuerySet.select_related": (
        lambda own: joined(Task.filter(parent=None).select_related("project")),
        ["alpha", "beta"],
    ),
    "QuerySet.sql": (lambda own: text(Project.filter().sql), True),
    "QuerySet.union": (lambda own: Project.filter(name="alpha").union(Project.filter(name="beta")), ["alpha", "beta"]),
    "QuerySet.use_index": (lambda own: Project.filter().use_index("x"), ["alpha", "beta"]),
    "QuerySet.using_db": (lambda own: Project.filter().using_db(Project._meta.db), ["alpha", "beta"]),
    "QuerySet.explain": (lambda own: explained(Project.filter()), True),
    "QuerySet.values": (lambda own: Project.filter(name="beta").values("name", "rank"), [{"name": "beta", "rank": 1}]),
    "QuerySet.values (joined)": (
        lambda own: Note.filter().values_list("task__project__name", flat=True),
        ["alpha", "beta"],
    ),
    "QuerySet.values_list": (lambda own: Project.filter().values_list("name", flat=True), ["alpha", "beta"]),
    "UnionQuery.__aiter__": (lambda own: collected(Project.filter().union(Project.filter())), ["alpha", "beta"]),
    "UnionQuery.__await__": (
        lambda own: Project.filter().union(Project.filter(), all=True),
        ["alpha"] * 2 + ["beta"] * 2,
    ),
    "UnionQuery.count": (lambda own: Project.filter().union(Project.filter()).count(), 2),
    "UnionQuery.limit": (lambda own: Project.filter().union(Project.filter()).limit(9), ["alpha", "beta"]),
    "UnionQuery.offset": (lambda own: Project.filter().union(Project.filter()).limit(9).offset(0), ["alpha", "beta"]),
    "UnionQuery.order_by": (lambda own: Project.filter().union(Project.filter()).order_by("name"), ["alpha", "beta"]),
    "UnionQuery.union": (
        lambda own: Project.filter().union(Project.filter()).union(Project.filter()),
        ["alpha", "beta"],
    ),
    "ReverseRelation.__aiter__": (lambda own: collected(own.project.tasks), ["alpha-step", "alpha-task"]),
    "ReverseRelation.__await__": (lambda own: own.project.tasks.all(), ["alpha-step", "alpha-task"]),
    "ReverseRelation.all": (lambda own: own.project.tasks.all(), ["alpha-step", "alpha-task"]),
    "ReverseRelation.filter": (lambda own: own.project.tasks.filter(parent=None), ["alpha-task"]),
    "ReverseRelation.limit": (lambda own: own.project.tasks.limit(9), ["alpha-step", "alpha-task"]),
    "ReverseRelation.offset": (lambda own: own.project.tasks.offset(0), ["alpha-step", "alpha-task"]),
    "ReverseRelation.order_by": (lambda own: own.project.tasks.order_by("id"), ["alpha-step", "alpha-task"]),
    "Prefetch.__init__": (
        lambda own: prefetched(Project.filter(), Prefetch("tasks", Task.filter())),
        ["beta-step", "beta-task"],
    ),
    "Relation.get": (lambda own: own.task.project, "alpha"),
    "Relation.get (o2o)": (lambda own: own.task.note, "alpha-note"),
    # from a plain model, whose own rows anybody may see, into tenants' rows
    "Plain.filter": (lambda own: Badge.filter(project__name__in=["beta", "gamma"]).count(), 1),
    "Plain.filter (deep)": (lambda own: Badge.filter(project__tasks__title="gamma-task").count(), 0),
    "Plain.values": (
        lambda own: Badge.all().values_list("project__name", flat=True),
        ["alpha", "beta", None, None, None],
    ),
    "Plain.select_related": (
        lambda own: joined(Badge.all().select_related("project")),
        ["None"] * 3 + ["alpha", "beta"],
    ),
    "Plain.prefetch_related": (
        lambda own: joined(Badge.all().prefetch_related("project")),
        ["None"] * 3 + ["alpha", "beta"],
    ),
    "Plain.order_by": (lambda own: Badge.filter(project__rank__gte=0).order_by("project__rank").count(), 2),
    "Plain.annotate": (
        lambda own: Badge.annotate(top=Max("project__rank")).values_list("top", flat=True),
        [0, 1, None, None, None],
    ),
    "Plain.delete": (lambda own: Badge.filter(project__name="gamma").delete(), 0),
    "Relation.get (from plain)": (lambda own: own.badge.project, "alpha"),
}


async def fetch_list(project: Project) -> Any:
    await Project.fetch_for_list([project], "tasks")
    return list(project.tasks)


async def in_bulk(ids: list[Any]) -> Any:
    return list((await Project.in_bulk(ids, "id")).values())


async def refreshed(row: Project) -> Any:
    await row.refresh_from_db()
    return row


async def prefetched(query: Any, relation: Any) -> Any:
    return list((await query.order_by("-name").prefetch_related(relation))[0].tasks)


async def joined(query: Any) -> Any:
    return sorted(str(getattr(row.project, "name", None)) for row in await query)


async def text(sql: Callable[[], str]) -> Any:
    return "tenant_id" in sql().partition("WHERE")[2]


async def explained(query: Any) -> Any:
    return bool(await query.explain())


async def saved(row: Project, **how: Any) -> None:
    row.name = "stolen"
    await row.save(**how)


async def edited(task: Task, **values: Any) -> None:
    await task.update_from_dict(values).save()


# What must leave the other tenant's rows as they are, whether it raises or finds nothing.
WRITES: dict[str, Callable[[Own], Awaitable[Any]]] = {
    "Model.bulk_create": lambda own: Project.bulk_create([own.their_instance]),
    "Model.bulk_create (upsert)": lambda own: Project.bulk_create(
        [Project(id=own.their_project, name="stolen")], on_conflict=["id"], update_fields=["name"]
    ),
    "Model.bulk_update": lambda own: Project.bulk_update([own.their_instance], ["rank"]),
    "Model.bulk_update (forged)": lambda own: Project.bulk_update([Project(id=own.their_project, name="x")], ["name"]),
    "Model.create": lambda own: Project.create(id=own.their_project, name="stolen"),
    "Model.create (named tenant)": lambda own: Project.create(name="stolen", tenant_id=own.their_instance.tenant_id),
    "Model.delete": lambda own: own.their_instance.delete(),
    "Model.get_or_create": lambda own: Project.get_or_create(tenant_id=own.their_instance.tenant_id, name="stolen"),
    "Model.save": lambda own: saved(own.their_instance),
    "Model.save (forced)": lambda own: saved(own.their_instance, force_update=True),
    "Model.save (created)": lambda own: saved(own.their_instance, force_create=True),
    "Model.update_or_create": lambda own: Project.update_or_create({"name": "stolen"}, id=own.their_project),
    "Model.update_or_create (moved)": lambda own: Project.update_or_create(
        {"tenant_id": own.their_instance.tenant_id}, name="alpha"
    ),
    "Model.update_from_dict": lambda own: edited(own.task, project_id=own.their_project),
    "QuerySet.bulk_create": lambda own: Project.filter().bulk_create([own.their_instance]),
    "QuerySet.bulk_update": lambda own: Project.filter().bulk_update([own.their_instance], ["name"]),
    "QuerySet.delete": lambda own: Project.filter(id=own.their_project).delete(),
    "QuerySet.delete (joined)": lambda own: Project.filter(tasks__title__contains="gamma").delete(),
    "QuerySet.update": lambda own: Project.filter(id=own.their_project).update(name="stolen"),
    "QuerySet.update (joined)": lambda own: Project.filter(tasks__title__contains="gamma").update(name="stolen"),
    "QuerySet.update (moved)": lambda own: Project.filter(name="alpha").update(tenant_id=own.their_instance.tenant_id),
    "ReverseRelation.create": lambda own: own.their_instance.tasks.create(title="stolen"),
}

# What is refused outright.
REFUSED: dict[str, Callable[[Own], Any]] = {
    "Model.raw": lambda own: Project.raw("SELECT * FROM sample_projects"),
    "QuerySet.raw": lambda own: Project.filter().raw("SELECT * FROM sample_projects"),
    "QuerySet.__init__": lambda own: queries.QuerySet(Project),
    "Prefetch.__init__ (bare)": lambda own: Badge.all().prefetch_related(
        Prefetch("project", queries.QuerySet(Project))
    ),
    "Manager.__init__": lambda own: Manager(Project).all(),
    "Subquery": lambda own: Task.filter(project_id__in=Subquery(queries.QuerySet(Project).values("id"))),
    "RawSQL": lambda own: Project.annotate(x=RawSQL("(SELECT count(*) FROM sample_projects)")),
    "RawSQL (filter)": lambda own: Project.filter(Q(Q(rank=RawSQL("1 OR 1=1")), name="x")),
    "RawSQLQuery": lambda own: queries.RawSQLQuery(Project, Project._meta.db, "SELECT 1"),
    "BulkCreateQuery": lambda own: queries.BulkCreateQuery(Project, Project._meta.db, [own.their_instance]),
    "UpdateQuery": lambda own: queries.UpdateQuery(Project, {}, Project._meta.db, [], {}, {}, None, []),
    "CountQuery": lambda own: queries.CountQuery(
        Project, Project._meta.db, [], {}, {}, None, None, set(), set()
    ).__await__(),
    "DeleteQuery": lambda own: queries.DeleteQuery(Project, Project._meta.db, [], {}, {}, None, []).__await__(),
}

# What never asks the database anything, or only works on what another entry point has fetched.
HARMLESS = {
    *("Model.clone", "Model.construct", "Model.describe", "Model.get_table", "Model.pk", "Model.register_listener"),
    *("Model.Meta", "AwaitableQuery.capabilities"),
    "Model.__await__",  # gives the instance itself
    "ModelMeta.build_meta",
    "Prefetch.resolve_for_queryset",
    *(f"ReverseRelation.{name}" for name in ("__bool__", "__contains__", "__getitem__", "__iter__", "__len__")),
    *("UnionQuery.__init__", "ReverseRelation.__init__", "ManyToManyRelation.__init__"),
    *(f"Model.{name}" for name in ("__init__", "__eq__", "__hash__", "__iter__", "__repr__", "__setattr__", "__str__")),
    "ModelMeta.__new__",
}
# The parts of queries that tenant isolation itself sits in, tried through all of the above.
ISOLATION = {"AwaitableQuery.__init__", "AwaitableQuery.resolve_filters", "AwaitableQuery.resolve_ordering"}
# TenantModels have none: refused when the class is made.
IMPOSSIBLE = {"ManyToManyRelation.add", "ManyToManyRelation.clear", "ManyToManyRelation.remove"}


@pytest.fixture
async def own(world) -> Own:
    with bind(world.theirs):
        their_instance = await Project.get(id=world.their_project)
    with bind(world.mine):
        project = await Project.get(name="alpha")
        return Own(
            project=project,
            task=await Task.get(title="alpha-task"),
            note=await Note.get(text="alpha-note"),
            badge=await Badge.get(project_id=project.id),
            their_project=world.their_project,
            their_task=world.their_task,
            their_instance=their_instance,
        )


def shown(result: Any) -> Any:
    """A result as the table above writes it: names for instances, lists sorted."""
    if isinstance(result, Model):
        return next(getattr(result, field) for field in ("name", "title", "text") if hasattr(result, field))
    if isinstance(result, list):
        return sorted((shown(row) for row in result), key=lambda row: (row is None, str(row)))
    return result


async def outcome(awaitable: Callable[[], Awaitable[Any]]) -> Any:
    """What came of it: the result as shown, or the kind of error."""
    try:
        return shown(await awaitable())
    except Exception as error:
        return type(error)


async def test_read_when_a_tenant_is_bound_gives_own_rows_only(world, own):
    with bind(world.mine):
        seen = {name: await outcome(lambda probe=probe: probe(own)) for name, (probe, _) in READS.items()}
    assert seen == {name: expected for name, (_, expected) in READS.items()}


async def test_read_when_nothing_is_bound_raises(own):
    seen = {name: await outcome(lambda probe=probe: probe(own)) for name, (probe, _) in READS.items()}
    assert seen == dict.fromkeys(READS, TenantMissing)


async def test_read_when_built_for_one_tenant_and_run_for_another_raises(world, own):
    seen = {}
    for name, (probe, _) in READS.items():
        with bind(world.mine):
            query = probe(own)
        if inspect.iscoroutine(query):
            query.close()  # nothing is built before it runs
        elif not name.startswith("Plain."):  # a plain query is isolated for whoever is bound when it runs
            with bind(world.theirs):
                foreign = await outcome(lambda query=query: query)
            with cross_tenant("test"):
                everyone = await outcome(lambda query=query: query)
            seen[name] = foreign, everyone, await outcome(lambda query=query: query)
    assert len(seen) > 50
    assert seen == dict.fromkeys(seen, (WrongTenant, WrongTenant, TenantMissing))


async def test_write_when_it_aims_at_another_tenant_leaves_its_rows_alone(world, own):
    before = await everything(world)
    for name, write in WRITES.items():
        with bind(world.mine):
            assert await outcome(lambda write=write: write(own)) in (0, WrongTenant, IntegrityError), name
        assert await everything(world) == before, name


async def test_write_when_no_single_tenant_is_bound_raises(world, own):
    before = await everything(world)
    for name, write in WRITES.items():
        assert await outcome(lambda write=write: write(own)) is TenantMissing, name
        with cross_tenant("test"):
            assert await outcome(lambda write=write: write(own)) is TenantMissing, name
    assert await everything(world) == before


async def test_bulk_write_when_it_would_cross_raises_on_the_line_that_builds_it(world, own):
    with bind(world.mine):
        for build in (
            lambda: Project.bulk_update([own.their_instance], ["rank"]),
            lambda: Project.bulk_update([own.project], ["tenant_id"]),
            lambda: Project.bulk_create([own.their_instance]),
            lambda: Project.filter(name="alpha").update(tenant_id=world.theirs),
            lambda: Project.bulk_create(
                [Project(name="x")], on_conflict=["tenant_id", "name"], update_fields=["tenant_id"]
            ),
        ):
            with pytest.raises(WrongTenant):
                build()


async def test_bulk_write_when_the_tenant_changes_before_it_runs_raises(world, own):
    with bind(world.mine):
        queries_built = (Project.bulk_create([Project(name="late")]), Project.bulk_update([own.project], ["rank"]))
    for query in queries_built:
        with bind(world.theirs), pytest.raises(WrongTenant):
            await query
        with cross_tenant("test"), pytest.raises((WrongTenant, TenantMissing)):
            await query


async def test_row_when_it_is_another_tenants_is_never_made_into_an_instance(world, database):
    """The last line: whatever fetched it, a foreign row does not become an object."""
    _, rows = await database.db().execute_query("SELECT * FROM sample_projects WHERE name = 'gamma'")
    with bind(world.mine), pytest.raises(WrongTenant):
        Project._init_from_db(**dict(rows[0]))
    with pytest.raises(TenantMissing):
        Project._init_from_db(**dict(rows[0]))
    with bind(world.theirs):
        assert Project._init_from_db(**dict(rows[0])).name == "gamma"


async def test_way_round_isolation_is_refused(world, own):
    with bind(world.mine):
        seen = {name: await outcome(lambda way=way: way(own)) for name, way in REFUSED.items()}
    assert seen == dict.fromkeys(REFUSED, Unscoped)


async def test_read_when_inside_across_sees_every_tenant(world):
    with cross_tenant("test"):
        assert await Project.all().count() == 5
        assert await Task.filter(project__name="beta").count() == 4
        assert len(await Project.all().prefetch_related("tasks")) == 5
        assert await Badge.filter(project__name="beta").count() == 2
        with pytest.raises(MultipleObjectsReturned):
            await Project.get(name="beta")
        with pytest.raises(TenantMissing):
            Project.select_for_update()


async def test_write_when_the_query_set_was_built_across_raises(world):
    with cross_tenant("test"):
        everyone = Project.all()
    with bind(world.mine):
        for write in (everyone.delete, lambda: everyone.update(rank=1), everyone.select_for_update):
            with pytest.raises(WrongTenant):
                write()


async def test_bulk_writes_when_the_rows_are_own_work(world):
    with bind(world.mine):
        await Project.bulk_create([Project(name="epsilon"), Project(name="zeta")])
        await Project.bulk_create(
            [Project(name="beta", rank=42)], on_conflict=["tenant_id", "name"], update_fields=["rank"]
        )
        rows = await Project.filter(name__in=["epsilon", "zeta"])
        for row in rows:
            row.rank = 8
        assert await Project.bulk_update(rows, ["rank"]) == 2
        assert dict(await Project.all().values_list("name", "rank")) == {
            "alpha": 0,
            "beta": 42,
            "epsilon": 8,
            "zeta": 8,
        }
    with bind(world.theirs):
        assert (await Project.get(name="beta")).rank == 0


async def test_join_when_the_database_holds_a_foreign_link_does_not_follow_it(world, database):
    """Even a link that got past everything else, here written with bare SQL, leads nowhere."""
    with bind(world.mine):
        task = await Task.get(title="alpha-task")
    await database.db().execute_script(
        f"UPDATE sample_tasks SET project_id = '{world.their_project}' WHERE id = '{task.id}'"
    )
    with bind(world.mine):
        assert await Task.filter(id=task.id).values_list("project__name", flat=True) == [None]
        assert (await Task.filter(id=task.id).select_related("project").first()).project is None
        assert (await Task.filter(id=task.id).prefetch_related("project").first()).project is None
        assert await (await Task.get(id=task.id)).project is None
        assert not await Task.filter(project__name="delta").exists()
    with bind(world.theirs):
        project = await Project.get(id=world.their_project)
        assert await project.tasks.filter(title="alpha-task") == []
        assert await Project.filter(tasks=task.id) == []
        assert await Project.filter(tasks__title="alpha-task") == []


OWNERS = (
    *(Model, ModelMeta, Manager, Prefetch, ReverseRelation, ManyToManyRelation),
    *(queries.QuerySet, queries.AwaitableQuery, queries.UnionQuery),
)


def test_every_entry_point_is_classified():
    seen = {name.split(" ")[0] for names in (READS, WRITES, REFUSED, HARMLESS, ISOLATION, IMPOSSIBLE) for name in names}
    asking = {"__aiter__", "__await__", "__getitem__"}
    missing = {
        f"{owner.__name__}.{name}"
        for owner in OWNERS
        for name, value in vars(owner).items()
        if (callable(value) or isinstance(value, classmethod | staticmethod | property))
        and (not name.startswith("_") or name in asking)
    } - seen
    assert missing - {"AwaitableQuery.sql"} == set()  # tried as QuerySet.sql


def test_every_kind_of_query_is_isolated_or_refused():
    kinds = {kind for kind in vars(queries).values() if inspect.isclass(kind) and kind.__module__ == queries.__name__}
    awaited = {kind.__name__ for kind in kinds if issubclass(kind, queries.AwaitableQuery)}
    assert awaited == {
        *("AwaitableQuery", "FieldSelectQuery"),  # abstract
        *("QuerySet", "UpdateQuery", "BulkUpdateQuery", "BulkCreateQuery", "RawSQLQuery"),  # ours instead, or refused
        *("DeleteQuery", "ExistsQuery", "ContainsQuery", "CountQuery"),  # with tenant isolation among their conditions
        *("ValuesQuery", "ValuesListQuery", "UnionCountQuery"),
    }
    resolving = {kind.__name__ for kind in kinds if "resolve_filters" in inspect.getsource(kind)}
    assert awaited - resolving == {
        "ContainsQuery",
        "RawSQLQuery",
        "BulkCreateQuery",
        "UnionCountQuery",
        "FieldSelectQuery",
    }


def test_query_sets_of_tortoise_do_not_lose_their_conditions():
    """Every query made from a query set takes its conditions, and so tenant isolation, along."""
    made = {"values", "values_list", "delete", "count", "exists", "contains"}
    for name in made:
        assert "q_objects=self._q_objects" in inspect.getsource(getattr(queries.QuerySet, name))


async def everything(world) -> Counter[Any]:
    with bind(world.theirs):
        rows = [row for model in (Project, Task, Note) for row in await model.all().values()]
    return Counter(repr(sorted(row.items())) for row in rows)
