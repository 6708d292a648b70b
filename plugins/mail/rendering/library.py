"""Load the built-in and the deployment's mail templates from folders and cache compiled ones.

A folder holds `layout.mjml` with `layout.toml` (a table of texts per locale), `unsubscribe_page.toml` (the same for
that page) and, for each template, a folder of its name: `template.toml` (summary, a subject per locale, the variables
with an example each, and the category of mail that can be unsubscribed from) and `<locale>.mjml` or `<locale>.html`,
optionally with the plain text as `<locale>.txt`. A deployment's folder needs to hold only what differs; it takes
precedence over the plugin's.
"""

from __future__ import annotations

import tomllib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from .compiled import CONTENT_PLACE, Compiled, Compiler, Layout, Source
from .errors import TemplateRefused

BUILT_IN = Path(__file__).parents[1] / "templates"
LAST_RESORT = "en"

_NO_OTHERS: Mapping[str, Path] = MappingProxyType({})

KEPT = 1_000
"""Templates of tenants that a process keeps compiled; the least recently used is dropped first."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of a template; optional: the template can be rendered without it."""

    name: str
    summary: str = ""
    example: Any = None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class BuiltinTemplate:
    """A template of the plugin or the deployment in one locale."""

    name: str
    locale: str
    origin: Literal["plugin", "deployment"]
    summary: str
    category: str
    source: Source
    variables: tuple[Variable, ...]

    @property
    def examples(self) -> dict[str, Any]:
        """An example of every variable."""
        return {variable.name: variable.example for variable in self.variables}


def language_tag(locale: str) -> str:
    """A language tag in the spelling that RFC 5646 recommends: de_at -> de-AT."""
    language, *subtags = locale.replace("_", "-").split("-")
    shaped = (each.upper() if len(each) == 2 else each.title() if len(each) == 4 else each.lower() for each in subtags)
    return "-".join((language.lower(), *shaped))


def fallbacks(*wanted: str) -> Iterator[str]:
    """Locales to look for, the nearest first and each once: of "de-AT" and "fr" these are de-AT, de, fr, en."""
    chain: list[str] = []
    for locale in map(language_tag, filter(None, wanted)):
        parts = locale.split("-")
        chain += ["-".join(parts[:length]) for length in range(len(parts), 0, -1)]
    yield from dict.fromkeys([*chain, LAST_RESORT])


class Library:
    """The plugins' and the deployment's templates of one application, with a cache of compiled ones.

    folder: the deployment's. others: of other plugins, name -> folder. Files are read once: changes take effect at the
    next start.

    Raises:
        TemplateRefused: a file or folder is wrong; the message names it.
    """

    def __init__(self, folder: Path | None, default_locale: str, others: Mapping[str, Path] = _NO_OTHERS) -> None:
        self.default_locale = default_locale
        self._compiler = Compiler()
        self._compiled: OrderedDict[Hashable, Compiled] = OrderedDict()
        self._layouts = _layouts(folder)
        self._unsubscribe_pages = _texts("unsubscribe_page.toml", folder)
        self._templates: dict[str, dict[str, BuiltinTemplate]] = {}
        for name, directory in (*_folders(BUILT_IN), *others.items()):
            self._read(name, directory, "plugin")
        for name, directory in _folders(folder):
            self._read(name, directory, "deployment")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all built-in and deployment templates."""
        return tuple(sorted(self._templates))

    def locales(self, name: str) -> Mapping[str, BuiltinTemplate]:
        """Locale -> template, of that name; empty when there is none."""
        return self._templates.get(name, {})

    def category(self, name: str) -> str:
        """The default category of a template's messages; "" where it names none."""
        return next((each.category for each in self.locales(name).values()), "")

    def texts(self, locale: str) -> Mapping[str, str]:
        """The texts of the layout itself, for a reader of that locale."""
        return self._layout(locale).texts

    def unsubscribe_page(self, *wanted: str) -> tuple[str, Mapping[str, str]]:
        """The locale and the texts of that page for a reader of these languages, the most wanted first."""
        pages = self._unsubscribe_pages
        locale = next(each for each in fallbacks(*wanted, self.default_locale) if each in pages)
        return locale, pages[locale]

    def compiled(self, template: BuiltinTemplate) -> Compiled:
        """Compile a built-in or deployment template, or take it from the cache.

        Raises:
            TemplateRefused: it is a deployment's and wrong.
        """
        return self.cached((template.name, template.locale), lambda: self.compile(template.source, template.locale))

    def compile(self, source: Source, locale: str) -> Compiled:
        """Compile a template from its source, in the layout of its locale.

        Raises:
            TemplateRefused: part, line and reason.
        """
        return self._compiler.compile(source, self._layout(locale), locale)

    def cached(self, key: Hashable, make: Callable[[], Compiled]) -> Compiled:
        """The compiled template cached under that key; `make` makes it when there is none."""
        if (existing := self.find(key)) is not None:
            return existing
        new = self._compiled[key] = make()
        while len(self._compiled) > KEPT:
            self._compiled.popitem(last=False)
        return new

    def find(self, key: Hashable) -> Compiled | None:
        """The compiled template cached under that key, if any."""
        existing = self._compiled.get(key)
        if existing is not None:
            self._compiled.move_to_end(key)
        return existing

    def _layout(self, locale: str) -> Layout:
        return next(self._layouts[each] for each in fallbacks(locale, self.default_locale) if each in self._layouts)

    def _read(self, name: str, directory: Path, origin: Literal["plugin", "deployment"]) -> None:
        description = _toml(directory / "template.toml")
        translations = self._templates.get(name, {})
        nearest = translations.get(LAST_RESORT)
        variables = tuple(_variable(key, each) for key, each in description.get("variables", {}).items())
        for file in sorted((*directory.glob("*.mjml"), *directory.glob("*.html"))):
            locale = file.stem
            subject = description.get("subject", {}).get(locale) or (
                translations[locale].source.subject if locale in translations else ""
            )
            if not subject:
                raise TemplateRefused(
                    f"{directory / 'template.toml'} has no subject for {locale}: [subject] {locale} = …"
                )
            text = file.with_suffix(".txt")
            source = Source(
                subject=subject,
                text=text.read_text("utf-8") if text.exists() else "",
                **{file.suffix[1:]: file.read_text("utf-8")},
            )
            self._templates.setdefault(name, {})[locale] = BuiltinTemplate(
                name=name,
                locale=locale,
                origin=origin,
                summary=description.get("summary") or (nearest.summary if nearest else ""),
                category=description.get("category") or (nearest.category if nearest else ""),
                source=source,
                variables=variables or (nearest.variables if nearest else ()),
            )


def _folders(folder: Path | None) -> list[tuple[str, Path]]:
    return [(each.name, each) for each in sorted(folder.iterdir()) if each.is_dir()] if folder is not None else []


def _layouts(folder: Path | None) -> dict[str, Layout]:
    mjml = (BUILT_IN / "layout.mjml").read_text("utf-8")
    if folder is not None:
        if not folder.is_dir():
            raise TemplateRefused(f"{folder} is not a folder; set `templates` in the mail plugin's settings to one")
        if (own := folder / "layout.mjml").exists():
            mjml = own.read_text("utf-8")
            if CONTENT_PLACE not in mjml:
                raise TemplateRefused(f"{own} has no place for the content: {CONTENT_PLACE}")
    return {locale: Layout(mjml, texts) for locale, texts in _texts("layout.toml", folder).items()}


def _texts(name: str, folder: Path | None) -> dict[str, Mapping[str, str]]:
    """Locale -> texts of a file, the deployment's before ours; what a locale lacks is English."""
    texts = _toml(BUILT_IN / name) | (_toml(folder / name) if folder is not None else {})
    return {locale: {**texts[LAST_RESORT], **each} for locale, each in texts.items()}


def _variable(name: str, described: Mapping[str, Any]) -> Variable:
    return Variable(
        name=name,
        summary=described.get("summary", ""),
        example=described.get("example"),
        optional=bool(described.get("optional", False)),
    )


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TemplateRefused(f"{file} cannot be read: {error}") from None
