"""The features: one feature each, one folder each, each knowing exactly one module of ours: host.sdk."""
