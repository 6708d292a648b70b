"""The bundled plugins: one folder per feature, each importing only host.sdk from the application."""
