"""TenantModel: stamping, saving, deleting, refreshing, and which classes are refused."""

from __future__ import annotations

import pytest
from tortoise import fields
from tortoise.exceptions import DoesNotExist
from tortoise.expressions import F
from tortoise.manager import Manager
from tortoise.models import Model
from uuid_utils.compat import uuid7

from tenants.context import TenantMissing, Unscoped, WrongTenant, bind, cross_tenant
from tenants.scoped_queries import ScopedManager
from tenants.scoping import TenantModel
from tests.tenants.sample_models import Note, Project, Task


def all_tenant_models(of: type[TenantModel] = TenantModel) -> list[type[TenantModel]]:
    return [model for sub in of.__subclasses__() for model in (sub, *all_tenant_models(sub))]


@pytest.mark.parametrize("model", all_tenant_models(), ids=lambda model: model.__name__)
def test_manager_of_every_tenant_model_is_scoped(model):
    assert type(model._meta.manager) is ScopedManager
    with pytest.raises(TenantMissing):
        model.filter()


# -- making an instance


def test_new_instance_takes_the_bound_tenant():
    tenant_id = uuid7()
    with bind(tenant_id):
        assert Project(name="x").tenant_id == tenant_id


def test_new_instance_when_nothing_is_bound_raises():
    with pytest.raises(TenantMissing):
        Project(name="x")


def test_new_instance_when_another_tenant_is_named_raises():
    with bind(uuid7()), pytest.raises(WrongTenant):
        Project(name="x", tenant_id=uuid7())


def test_new_instance_when_inside_across_raises():
    with cross_tenant("test"), pytest.raises(TenantMissing):
        Project(name="x")


# -- saving


async def test_save_when_the_instance_is_another_tenants_raises(world):
    with bind(world.theirs):
        row = await Project.get(id=world.their_project)
    row.name = "stolen"
    with bind(world.mine), pytest.raises(WrongTenant):
        await row.save()
    with cross_tenant("test"), pytest.raises(TenantMissing):
        await row.save()
    with pytest.raises(TenantMissing):
        await row.save()
    await assert_untouched(world)


@pytest.mark.parametrize("how", [{}, {"force_update": True}, {"update_fields": ["name"]}])
async def test_save_when_the_instance_is_forged_raises(world, how):
    with bind(world.mine):
        forged = Project(id=world.their_project, name="stolen", rank=99)
        forged._saved_in_db = True
        with pytest.raises(WrongTenant):
            await forged.save(**how)
        constructed = Project.construct(
            _saved_in_db=True, id=world.their_project, tenant_id=world.mine, name="stolen", rank=99
        )
        with pytest.raises(WrongTenant):
            await constructed.save(**how)
    await assert_untouched(world)


async def test_save_when_the_id_was_exchanged_raises(world):
    with bind(world.mine):
        row = await Project.get(name="alpha")
        row.id = world.their_project
        row.name = "stolen"
        with pytest.raises(WrongTenant):
            await row.save()
        with pytest.raises(WrongTenant):
            await row.delete()
    await assert_untouched(world)


async def test_save_when_the_row_is_to_move_to_another_tenant_raises(world):
    with bind(world.mine):
        row = await Project.get(name="alpha")
        row.tenant_id = world.theirs
        with pytest.raises(WrongTenant):
            await row.save()
        with pytest.raises(WrongTenant):
            await row.save(update_fields=["tenant_id"])
    with bind(world.theirs), pytest.raises(WrongTenant):
        await row.save()


async def test_save_when_the_row_was_read_across_and_claimed_raises(world):
    with cross_tenant("test"):
        row = await Project.get(id=world.their_project)
    row.tenant_id = world.mine
    row.name = "stolen"
    with bind(world.mine), pytest.raises(WrongTenant):
        await row.save()
    await assert_untouched(world)


async def test_save_when_the_row_was_read_across_works_in_its_own_tenant(world):
    with cross_tenant("test"):
        row = await Project.get(id=world.their_project)
    row.rank = 7
    with bind(world.theirs):
        await row.save()
        assert (await Project.get(id=row.id)).rank == 7


async def test_save_when_the_instance_is_partial_writes_the_own_row_only(world):
    with bind(world.mine):
        row = await Project.filter(name="alpha").only("id", "rank").first()
        row.rank = 5
        await row.save(update_fields=["rank"])
        assert (await Project.get(name="alpha")).rank == 5
        row.id = world.their_project
        with pytest.raises(WrongTenant):
            await row.save(update_fields=["rank"])
    await assert_untouched(world)


async def test_save_when_the_row_is_honest_asks_the_database_nothing_more(world, statements):
    with bind(world.mine):
        task = await Task.get(title="alpha-task")
        statements.clear()
        task.title = "renamed"
        await task.save()
    assert [text.split()[0] for text in statements] == ["UPDATE"]


# -- links


async def test_create_when_a_link_leads_to_another_tenant_raises(world):
    with bind(world.theirs):
        their_project = await Project.get(id=world.their_project)
    with bind(world.mine):
        for link in ({"project_id": world.their_project}, {"project": their_project}):
            with pytest.raises(WrongTenant):
                await Task.create(title="spy", **link)
        with pytest.raises(WrongTenant):
            await Note.create(text="spy", task_id=world.their_task)
        with pytest.raises(WrongTenant):
            await Task.bulk_create([Task(title="spy", project_id=world.their_project)])
        with pytest.raises(WrongTenant):
            await Task.get_or_create({"project_id": world.their_project}, title="spy")
        assert not await Task.exists(title="spy")


async def test_update_when_a_link_leads_to_another_tenant_raises(world):
    with bind(world.theirs):
        their_project = await Project.get(id=world.their_project)
    with bind(world.mine):
        task = await Task.get(title="alpha-task")
        before = task.project_id
        with pytest.raises(WrongTenant):
            await Task.filter(id=task.id).update(project_id=world.their_project)
        with pytest.raises(WrongTenant):
            await Task.filter(id=task.id).update(project=their_project)
        with pytest.raises(WrongTenant):
            await Task.update_or_create({"project_id": world.their_project}, id=task.id)
        with pytest.raises(Unscoped):
            await Task.filter(id=task.id).update(project_id=F("parent_id"))
        task.project_id = world.their_project
        with pytest.raises(WrongTenant):
            await task.save()
        with pytest.raises(WrongTenant):
            await task.save(update_fields=["project_id"])
        with pytest.raises(WrongTenant):
            await Task.bulk_update([task], ["project_id"])
        assert (await Task.get(id=task.id)).project_id == before


async def test_update_when_a_link_stays_in_the_tenant_works(world):
    with bind(world.mine):
        beta = await Project.get(name="beta")
        task = await Task.get(title="alpha-task")
        task.project = beta
        await task.save()
        assert await Task.filter(project__name="alpha").update(project=beta) == 1
        assert await beta.tasks.all().count() == 4


# -- deleting and refreshing


async def test_delete_when_the_instance_is_forged_or_foreign_raises(world):
    with bind(world.theirs):
        foreign = await Project.get(id=world.their_project)
    with bind(world.mine):
        forged = Project(id=world.their_project, name="x")
        forged._saved_in_db = True
        for row in (forged, foreign):
            with pytest.raises(WrongTenant):
                await row.delete()
    with cross_tenant("test"), pytest.raises(TenantMissing):
        await foreign.delete()
    await assert_untouched(world)


async def test_delete_when_the_row_is_own_removes_it(world):
    with bind(world.mine):
        await (await Project.get(name="alpha")).delete()
        assert await Project.all().values_list("name", flat=True) == ["beta"]


async def test_refresh_when_the_instance_is_forged_or_foreign_finds_nothing(world):
    with bind(world.theirs):
        foreign = await Project.get(id=world.their_project)
    with bind(world.mine):
        forged = Project(id=world.their_project, name="x")
        forged._saved_in_db = True
        with pytest.raises(DoesNotExist):
            await forged.refresh_from_db()
        with pytest.raises(DoesNotExist):
            await forged.refresh_from_db(["name"])
        with pytest.raises(WrongTenant):
            await foreign.refresh_from_db()
        with pytest.raises(WrongTenant):
            await foreign.fetch_related("tasks")
        with pytest.raises(WrongTenant):
            await Project.fetch_for_list([foreign], "tasks")


async def test_refresh_when_the_row_is_own_reads_it_again(world):
    with bind(world.mine):
        row = await Project.get(name="alpha")
        await Project.filter(id=row.id).update(rank=9)
        await row.refresh_from_db(["rank"])
        assert row.rank == 9
        row.rank = 0
        await row.refresh_from_db()
        assert row.rank == 9


# -- classes that are refused


def test_class_with_its_own_manager_is_refused():
    with pytest.raises(TypeError, match="manager"):

        class OwnManager(TenantModel):
            class Meta:
                manager = Manager()

    with pytest.raises(TypeError, match="everything"):

        class SecondManager(TenantModel):
            everything = Manager()


def test_class_with_a_many_to_many_field_is_refused():
    with pytest.raises(TypeError, match="in between"):

        class ManyToMany(TenantModel):
            projects = fields.ManyToManyField("sample.Project")


def test_class_with_another_tenant_id_is_refused():
    with pytest.raises(TypeError, match="tenant_id"):

        class OwnColumn(TenantModel):
            tenant_id = fields.IntField()

    with pytest.raises(TypeError, match="tenant_id"):

        class Optional(TenantModel):
            tenant_id = fields.UUIDField(null=True)


def test_plain_model_with_a_many_to_many_field_to_tenants_is_refused():
    class Plain(Model):
        id = fields.IntField(primary_key=True)

    field = fields.ManyToManyField("sample.Project")
    with pytest.raises(TypeError, match="in between"):
        Project._meta.add_field("plains", field)


async def assert_untouched(world) -> None:
    with bind(world.theirs):
        assert await Project.all().order_by("rank").values_list("name", "rank") == [
            ("beta", 0),
            ("gamma", 1),
            ("delta", 2),
        ]
