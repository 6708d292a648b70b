"""The public API for plugins: every name that a plugin may import from the host.

`docs/sdk.md` is made of the docstrings behind these names, each with an example; the lists below are its chapters.

Rows are read and written in one of two ways, and a function uses one of them. `Records` for what an endpoint answers:
one row or one page of rows, as plain dicts, with filters, cursors, versions (`If-Match`) and unknown ids taken care of;
its `insert`, `change` and `remove` write a single row and say what changed, for `record`. The model's own methods
(`Note.filter(...)`, `.update()`, `.delete()`) for the rules behind it: questions about many rows, changes of many at
once, locks, joins. Both see the bound tenant's rows only, and both take part in the `unit_of_work` around them.
"""

from host.api.plan import usage
from host.cached import cached, drop_tags
from host.contracts import (
    DAILY_CLEAN_UP,
    DURATIONS,
    MONTHLY_ANALYTICS,
    WEEKLY_REPORT,
    Accepted,
    Action,
    Actor,
    Answer,
    Channel,
    Command,
    Contributed,
    Contribution,
    Created,
    DayOfUse,
    Decision,
    Download,
    Event,
    Events,
    EventType,
    ExtensionPoint,
    HealthCheck,
    Limit,
    LiveChannel,
    LiveMessage,
    MessageTemplate,
    Metric,
    Page,
    Permission,
    Person,
    PersonalData,
    PlanSource,
    Public,
    PublicCache,
    Query,
    Readings,
    Route,
    Row,
    Secret,
    Stream,
    Subscription,
    TakenUse,
    Task,
    TenantInfo,
)
from host.data.audience import Audience
from host.data.full_text import WordsField
from host.data.full_text import indexed as indexed_words
from host.data.mentions import is_mentioned, rows_mentioning, without
from host.data.records import Records
from host.data.transactions import UnitOfWork
from host.errors import (
    ApiError,
    BadRequest,
    Conflict,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    PreconditionFailed,
    QuotaExceeded,
    RateLimited,
    Unauthenticated,
    Unavailable,
    ValidationFailed,
)
from host.execution_context import actor, principals
from host.extension_points import contributions
from host.hookspecs import hookimpl
from host.identity.locales import accepted_locales
from host.input_errors import TextForm
from host.input_types import Instant, Name, OneLine, Time, Title
from host.instruments import count, observe
from host.job_progress import report_progress
from host.jobs.executor import job_id
from host.jobs.outcomes import Backoff, GiveUp, Postpone, TryAgain
from host.live_channels import live
from host.membership.events import MemberJoined, MemberLeft
from host.membership.invitations import invite_by_actor as invite
from host.membership.members import owner_ids
from host.membership.people import (
    LEVELS,
    Member,
    is_allowed,
    level,
    may,
    members,
    people,
    principal_names,
    principals_of,
    refuse_beyond_own,
    roles,
)
from host.messages import MessageWanted, message_templates, request_message
from host.outbound.addresses import public_addresses
from host.outbound.errors import OutboundError
from host.plan_limits import allow, give_back, limit_value, reserve, set_used, settle, spend
from host.plans import TenantPlanChanged, assign_plan, plan_settings
from host.providers import Providers, ProviderSpec, SettingsT, Webhook, WebhookCall, without_secrets
from host.redaction import HIDDEN, is_secret, redacted_text
from host.services import (
    absolute_url,
    app_singleton,
    cache,
    data_folder,
    decrypt,
    encrypt,
    for_each_tenant,
    in_subprocess,
    is_member,
    measured,
    member_locale,
    open_token,
    operator_access,
    public_client,
    record_failure,
    settings,
    sign_token,
    signature,
    storage,
    taken_use,
    tenant,
    tenant_now,
    tenant_settings,
    unit_of_work,
)
from host.storage.namespace import PresignedUpload, Stored
from host.subprocesses.pool import SubprocessError
from host.times import zone
from host.tracing import trace_headers
from host.web.handlers.binding import RequestFacts
from host.web.routes import Routes
from host.web.server.websocket import Socket
from tenants.access import Grant
from tenants.context import TenantMissing, in_system_tenant
from tenants.limits import Duration, Rate, Size
from tenants.locking import lock_tenant
from tenants.scoping import TenantModel
from tenants.text import cut_to_line, fold, one_line, slug_of, without_links
from tenants.text_columns import SortKeyField

__all__ = [  # Declare what a plugin brings
    "DAILY_CLEAN_UP",
    "DURATIONS",
    "MONTHLY_ANALYTICS",
    "WEEKLY_REPORT",
    "Channel",
    "Command",
    "Contributed",
    "Contribution",
    "Event",
    "EventType",
    "ExtensionPoint",
    "Grant",
    "HealthCheck",
    "Limit",
    "Metric",
    "Permission",
    "Person",
    "PersonalData",
    "Readings",
    "Route",
    "Routes",
    "Subscription",
    "Task",
    "contributions",
    "hookimpl",
]
__all__ += [  # Rows
    "Audience",
    "Page",
    "Query",
    "Records",
    "Row",
    "SortKeyField",
    "TenantMissing",
    "TenantModel",
    "UnitOfWork",
    "WordsField",
    "indexed_words",
    "is_mentioned",
    "lock_tenant",
    "rows_mentioning",
    "unit_of_work",
    "without",
]
__all__ += [  # Requests and answers
    "Accepted",
    "Answer",
    "Created",
    "Download",
    "PublicCache",
    "RequestFacts",
    "Stream",
    "absolute_url",
    "accepted_locales",
    "open_token",
    "sign_token",
    "signature",
]
__all__ += [  # Input
    "Duration",
    "Instant",
    "Name",
    "OneLine",
    "Rate",
    "Size",
    "TextForm",
    "Time",
    "Title",
]
__all__ += [  # Errors
    "ApiError",
    "BadRequest",
    "Conflict",
    "NotFound",
    "PayloadTooLarge",
    "PermissionDenied",
    "PreconditionFailed",
    "QuotaExceeded",
    "RateLimited",
    "Unauthenticated",
    "Unavailable",
    "ValidationFailed",
]
__all__ += [  # Who is acting, and where
    "Actor",
    "Decision",
    "TenantInfo",
    "actor",
    "for_each_tenant",
    "in_system_tenant",
    "operator_access",
    "tenant",
    "tenant_now",
    "zone",
]
__all__ += [  # Members
    "LEVELS",
    "Member",
    "invite",
    "is_allowed",
    "is_member",
    "level",
    "may",
    "member_locale",
    "members",
    "owner_ids",
    "people",
    "principal_names",
    "principals",
    "principals_of",
    "refuse_beyond_own",
    "roles",
]
__all__ += [  # Jobs
    "Backoff",
    "GiveUp",
    "Postpone",
    "TryAgain",
    "job_id",
    "report_progress",
]
__all__ += [  # Live
    "Events",
    "LiveChannel",
    "LiveMessage",
    "Socket",
    "live",
]
__all__ += [  # Messages to people
    "MessageTemplate",
    "MessageWanted",
    "message_templates",
    "request_message",
]
__all__ += [  # What happened
    "Action",
    "MemberJoined",
    "MemberLeft",
    "Public",
    "Secret",
    "record_failure",
]
__all__ += [  # Plans, limits and use
    "DayOfUse",
    "PlanSource",
    "TakenUse",
    "TenantPlanChanged",
    "allow",
    "assign_plan",
    "give_back",
    "limit_value",
    "plan_settings",
    "reserve",
    "set_used",
    "settle",
    "spend",
    "taken_use",
    "usage",
]
__all__ += [  # Settings, secrets and storage
    "HIDDEN",
    "PresignedUpload",
    "Stored",
    "app_singleton",
    "cache",
    "cached",
    "data_folder",
    "decrypt",
    "drop_tags",
    "encrypt",
    "is_secret",
    "redacted_text",
    "settings",
    "storage",
    "tenant_settings",
]
__all__ += [  # Providers and other systems
    "OutboundError",
    "ProviderSpec",
    "Providers",
    "SettingsT",
    "Webhook",
    "WebhookCall",
    "public_addresses",
    "public_client",
    "trace_headers",
    "without_secrets",
]
__all__ += [  # Untrusted files
    "SubprocessError",
    "in_subprocess",
]
__all__ += [  # Text
    "cut_to_line",
    "fold",
    "one_line",
    "slug_of",
    "without_links",
]
__all__ += [  # Measuring
    "count",
    "measured",
    "observe",
]
