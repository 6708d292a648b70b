"""Records of providers: sections of settings, accounts of tenants, what is missing, and names that are double."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from host.providers import Providers, ProviderSpec, without_secrets


class BucketSettings(BaseModel, extra="forbid"):
    key: SecretStr = SecretStr("")
    region: str = "eu"
    timeout: float = 30.0


class BucketAccount(BaseModel, extra="forbid"):
    key: SecretStr
    region: str = "us"


@dataclass(frozen=True, kw_only=True)
class StorageProvider(ProviderSpec[Any]):
    title: str


class DiskSettings(BaseModel, extra="forbid"):
    folder: str = ""


BUCKET = StorageProvider(
    name="bucket", title="Bucket", settings=BucketSettings, required=("key",), account=BucketAccount
)
DISK = StorageProvider(name="disk", title="Disk", settings=DiskSettings)
PROVIDERS = Providers(DISK, BUCKET)


@PROVIDERS.sections
class Deployment(BaseModel, extra="forbid"):
    """Settings of the deployment."""

    chosen: str = "disk"

    @property
    def title(self) -> str:
        return PROVIDERS[self.chosen].title


@PROVIDERS.accounts
class Choice(BaseModel, extra="forbid"):
    """An account of one's own."""


def test_sections_when_settings_are_read_then_each_provider_has_its_own() -> None:
    found: Any = Deployment.model_validate({"chosen": "bucket", "bucket": {"key": "hush", "timeout": 5}})
    assert isinstance(found, Deployment)
    assert (found.title, found.bucket.key.get_secret_value(), found.bucket.region) == ("Bucket", "hush", "eu")
    assert list(Deployment.model_fields) == ["chosen", "disk", "bucket"]
    assert Deployment.__doc__ == "Settings of the deployment."
    with pytest.raises(ValidationError, match=r"bucket\.ring"):
        Deployment.model_validate({"bucket": {"ring": "x"}})


def test_accounts_when_a_provider_takes_none_then_it_is_not_among_them() -> None:
    assert list(Choice.model_fields) == ["bucket"]
    assert Choice.model_validate({}).model_dump() == {"bucket": None}


def test_missing_when_a_chosen_provider_lacks_something_then_named() -> None:
    assert PROVIDERS.missing(Deployment(), ["disk", "bucket"]) == ["bucket needs key"]
    assert PROVIDERS.missing(Deployment(), ["disk"]) == []
    assert PROVIDERS.missing(Deployment.model_validate({"bucket": {"key": "x"}}), ["bucket"]) == []


def test_own_settings_when_an_account_has_no_field_for_something_then_the_deployments_is_taken() -> None:
    deployment = BucketSettings(key=SecretStr("ours"), region="eu", timeout=5)
    shown, secrets = without_secrets(BucketAccount(key=SecretStr("theirs")))
    assert (shown, secrets) == ({"region": "us"}, {"key": "theirs"})
    own = BUCKET.own_settings(deployment, shown | secrets)
    assert (own.key.get_secret_value(), own.region, own.timeout) == ("theirs", "us", 5.0)


def test_providers_when_two_have_one_name_then_refused() -> None:
    with pytest.raises(ValueError, match="two providers have one name"):
        Providers(DISK, DISK)


def test_provider_when_asked_for_by_name_then_found_or_not() -> None:
    assert (PROVIDERS["disk"], PROVIDERS.get("tape"), PROVIDERS.names) == (DISK, None, ("disk", "bucket"))
    with pytest.raises(KeyError):
        PROVIDERS["tape"]
