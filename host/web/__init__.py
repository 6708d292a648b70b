"""From HTTP to handlers and back: routes, binding, answers, problems, the connection, the OpenAPI document."""
