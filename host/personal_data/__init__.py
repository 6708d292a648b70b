"""Personal data: what is held of a person over all plugins, listed, erased, and proven to be gone."""
