"""The permissions that protect the host's own endpoints, and the built-in roles that hold them."""

from host.contracts import Permission

_EVERYBODY = ("admin", "member", "viewer")

PERMISSIONS = (
    Permission("tenant.profile.update", "Rename the organisation"),
    Permission("tenant.profile.delete", "Close the organisation", roles=()),
    Permission("tenant.members.read", "See who belongs to the organisation", roles=_EVERYBODY),
    Permission("tenant.members.update", "Give members another role"),
    Permission("tenant.members.delete", "Remove members"),
    Permission("tenant.invitations.read", "See open invitations"),
    Permission("tenant.invitations.create", "Invite people"),
    Permission("tenant.invitations.delete", "Withdraw invitations"),
    Permission("tenant.roles.read", "See roles and permissions", roles=_EVERYBODY),
    Permission("tenant.roles.create", "Make roles"),
    Permission("tenant.roles.update", "Change roles"),
    Permission("tenant.roles.delete", "Delete roles"),
    Permission("tenant.plugins.read", "See which features are on", roles=_EVERYBODY),
    Permission("tenant.plugins.update", "Switch features on and off and set them up"),
    Permission("tenant.plan.read", "See the plan and its limits", roles=_EVERYBODY),
    Permission("tenant.usage.read", "See what the organisation has used", roles=_EVERYBODY),
    Permission("tenant.api_keys.read", "See API keys"),
    Permission("tenant.api_keys.create", "Make API keys"),
    Permission("tenant.api_keys.delegate", "Let an API key make API keys, which end with it"),
    Permission("tenant.api_keys.delete", "End API keys"),
    Permission("tenant.jobs.read", "See background jobs and what became of them"),
    Permission("tenant.jobs.update", "Run failed jobs again and call jobs off"),
    Permission("tenant.personal_data.read", "See what the organisation holds of a person"),
    Permission("tenant.personal_data.delete", "Erase what the organisation holds of a person", roles=()),
    Permission("tenant.explanations.read", "Ask why something is allowed or refused"),
)
