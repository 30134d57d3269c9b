//! Reading a theme file: TOML into the raw looks of roles, with the place of each so that a mistake is reported at its
//! line. It owns no colours of its own and must never fill a gap in silence: what can't be read is an error.
//!
//! A file has these parts:
//!
//! ```toml
//! name = "Harbour"            # for people
//! variant = "dark"            # or "light"
//! inherits = "base"           # another theme, whose palette and roles are taken where this file has none
//! depth = "true"              # the most colour it wants: "true", "ansi16" or "mono"
//!
//! [palette]
//! slate = "#1e1e2e"           # a colour, or the name of another palette entry
//!
//! [roles]                     # true colour and 256 colours
//! "text.error" = "red"        # a foreground, or a table:
//! "search.match" = { fg = "slate", bg = "sun", underline = { style = "curly", color = "red" }, modifiers = ["bold"] }
//!
//! [ansi16]                    # the same on sixteen colours, by their ANSI names
//! [mono]                      # the same without colour: modifiers only
//! ```

use std::{collections::HashMap, ops::Range};

use qd_tty::{Attrs, Color, Underline};
use toml::de::{DeTable, DeValue};

use super::{Role, ThemeError, color};

/// The look of one role as a theme gives it: what is `None` comes from the surface it is drawn on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct RoleLook {
    pub(super) fg: Option<Color>,
    pub(super) bg: Option<Color>,
    pub(super) ul: Option<Color>,
    pub(super) attrs: Attrs,
}

/// A colour's name, and where it was written.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) line: usize,
}

/// A role's look with its colours still by name.
#[derive(Debug, Clone, Default)]
pub(super) struct RawLook {
    pub(super) fg: Option<Named>,
    pub(super) bg: Option<Named>,
    pub(super) ul: Option<Named>,
    pub(super) attrs: Attrs,
    pub(super) file: String,
}

/// The most colour a theme wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Most {
    True,
    Ansi16,
    Mono,
}

/// A table of a theme file that gives roles their looks.
pub(super) type Roles = HashMap<Role, RawLook>;

/// A theme file as read, before its parent is merged in.
#[derive(Debug, Default)]
pub(super) struct Raw {
    pub(super) name: Option<String>,
    pub(super) light: Option<bool>,
    pub(super) depth: Option<Most>,
    pub(super) inherits: Option<Named>,
    pub(super) palette: HashMap<String, (Named, String)>,
    pub(super) roles: Roles,
    pub(super) ansi16: Option<Roles>,
    pub(super) mono: Roles,
}

impl Raw {
    /// Takes from `parent` what this file does not say itself.
    pub(super) fn take_missing(&mut self, parent: Self) {
        self.light = self.light.or(parent.light);
        self.depth = self.depth.or(parent.depth);
        for (k, v) in parent.palette {
            self.palette.entry(k).or_insert(v);
        }
        let fill = |mine: &mut Roles, theirs: Roles| {
            for (k, v) in theirs {
                mine.entry(k).or_insert(v);
            }
        };
        fill(&mut self.roles, parent.roles);
        fill(&mut self.mono, parent.mono);
        if let Some(theirs) = parent.ansi16 {
            fill(self.ansi16.get_or_insert_default(), theirs);
        }
    }
}

/// The name among `known` that is most like `word`, when one is like it at all.
pub(super) fn closest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|k| (strsim::jaro_winkler(word, k), k))
        .filter(|(s, _)| *s >= 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}

/// The sentence that offers `name`.
pub(super) fn offer(name: Option<&str>) -> Option<String> {
    name.map(|n| format!("did you mean \u{201c}{n}\u{201d}?"))
}

struct Reader<'a> {
    text: &'a str,
    file: &'a str,
}

const TOP: &[&str] = &[
    "name", "variant", "inherits", "depth", "palette", "roles", "ansi16", "mono",
];
const LOOK: &[&str] = &["fg", "bg", "underline", "modifiers"];
const MODIFIERS: &[(&str, Attrs)] = &[
    ("bold", Attrs::BOLD),
    ("dim", Attrs::DIM),
    ("italic", Attrs::ITALIC),
    ("reverse", Attrs::REVERSE),
    ("strike", Attrs::STRIKE),
    ("overline", Attrs::OVERLINE),
];
const UNDERLINES: &[(&str, Underline)] = &[
    ("line", Underline::Single),
    ("double", Underline::Double),
    ("curly", Underline::Curly),
    ("dotted", Underline::Dotted),
    ("dashed", Underline::Dashed),
];

impl Reader<'_> {
    fn line(&self, span: Range<usize>) -> usize {
        self.text
            .as_bytes()
            .iter()
            .take(span.start)
            .filter(|b| **b == b'\n')
            .count()
            + 1
    }

    fn error(&self, span: Range<usize>, what: String, help: Option<String>) -> ThemeError {
        ThemeError {
            file: self.file.to_owned(),
            line: self.line(span),
            what,
            help,
        }
    }

    /// A word of a fixed set.
    fn word<T: Copy>(
        &self,
        value: &DeValue<'_>,
        span: Range<usize>,
        what: &str,
        known: &[(&str, T)],
    ) -> Result<T, ThemeError> {
        let s = self.string(value, span.clone(), what)?;
        known.iter().find(|(n, _)| *n == s).map(|(_, v)| *v).ok_or_else(|| {
            let names: Vec<_> = known.iter().map(|(n, _)| *n).collect();
            let help = offer(closest(s, names.iter().copied()));
            self.error(
                span,
                format!("\u{201c}{s}\u{201d} is no {what}"),
                help.or_else(|| Some(format!("known: {}", names.join(", ")))),
            )
        })
    }

    fn string<'v>(&self, value: &'v DeValue<'_>, span: Range<usize>, what: &str) -> Result<&'v str, ThemeError> {
        value
            .as_str()
            .ok_or_else(|| self.error(span, format!("{what} must be a string, not {}", value.type_str()), None))
    }

    fn table<'v, 'i>(
        &self,
        value: &'v DeValue<'i>,
        span: Range<usize>,
        what: &str,
    ) -> Result<&'v DeTable<'i>, ThemeError> {
        value
            .as_table()
            .ok_or_else(|| self.error(span, format!("{what} must be a table, not {}", value.type_str()), None))
    }

    fn named(&self, value: &DeValue<'_>, span: Range<usize>) -> Result<Named, ThemeError> {
        let name = self.string(value, span.clone(), "a colour")?.to_owned();
        Ok(Named {
            name,
            line: self.line(span),
        })
    }

    fn look(&self, value: &DeValue<'_>, span: Range<usize>) -> Result<RawLook, ThemeError> {
        let mut look = RawLook {
            file: self.file.to_owned(),
            ..RawLook::default()
        };
        if value.is_str() {
            look.fg = Some(self.named(value, span)?);
            return Ok(look);
        }
        for (key, v) in self.table(value, span, "a look")?.iter() {
            let (k, at) = (key.get_ref().as_ref(), v.span());
            let v = v.get_ref();
            match k {
                "fg" => look.fg = Some(self.named(v, at)?),
                "bg" => look.bg = Some(self.named(v, at)?),
                "underline" => self.underline(v, at, &mut look)?,
                "modifiers" => {
                    let Some(items) = v.as_array() else {
                        let what = format!("modifiers must be a list, not {}", v.type_str());
                        return Err(self.error(at, what, Some("write it like [\"bold\"]".into())));
                    };
                    for item in items {
                        look.attrs |= self.word(item.get_ref(), item.span(), "modifier", MODIFIERS)?;
                    }
                }
                _ => {
                    let help = offer(closest(k, LOOK.iter().copied()));
                    return Err(self.error(key.span(), format!("a look has no \u{201c}{k}\u{201d}"), help));
                }
            }
        }
        Ok(look)
    }

    fn underline(&self, value: &DeValue<'_>, span: Range<usize>, look: &mut RawLook) -> Result<(), ThemeError> {
        let mut style = Underline::Single;
        if value.is_str() {
            style = self.word(value, span, "underline style", UNDERLINES)?;
        } else {
            for (key, v) in self.table(value, span, "an underline")?.iter() {
                match key.get_ref().as_ref() {
                    "style" => style = self.word(v.get_ref(), v.span(), "underline style", UNDERLINES)?,
                    "color" => look.ul = Some(self.named(v.get_ref(), v.span())?),
                    k => {
                        let help = offer(closest(k, ["style", "color"].into_iter()));
                        return Err(self.error(key.span(), format!("an underline has no \u{201c}{k}\u{201d}"), help));
                    }
                }
            }
        }
        look.attrs = look.attrs.with_underline(style);
        Ok(())
    }

    fn roles(&self, value: &DeValue<'_>, span: Range<usize>, what: &str) -> Result<Roles, ThemeError> {
        let mut roles = Roles::new();
        for (key, v) in self.table(value, span, what)?.iter() {
            let k = key.get_ref().as_ref();
            let Ok(role) = k.parse::<Role>() else {
                let help = if v.get_ref().is_table() && Role::ALL.iter().any(|r| r.name().starts_with(&format!("{k}.")))
                {
                    Some("put a role's name in quotes, like \"pane.frame\"".into())
                } else {
                    offer(closest(k, Role::ALL.iter().map(|r| r.name())))
                };
                return Err(self.error(key.span(), format!("there is no role \u{201c}{k}\u{201d}"), help));
            };
            roles.insert(role, self.look(v.get_ref(), v.span())?);
        }
        Ok(roles)
    }

    fn palette(&self, value: &DeValue<'_>, span: Range<usize>, raw: &mut Raw) -> Result<(), ThemeError> {
        for (key, v) in self.table(value, span, "[palette]")?.iter() {
            let named = self.named(v.get_ref(), v.span())?;
            if named.name.starts_with('#') && color::hex(&named.name).is_none() {
                let what = format!("\u{201c}{}\u{201d} is no colour", named.name);
                return Err(self.error(v.span(), what, Some("write it like \"#1e1e2e\"".into())));
            }
            raw.palette
                .insert(key.get_ref().as_ref().to_owned(), (named, self.file.to_owned()));
        }
        Ok(())
    }
}

/// Reads a theme file.
pub(super) fn read(text: &str, file: &str) -> Result<Raw, ThemeError> {
    let r = Reader { text, file };
    let table =
        DeTable::parse(text).map_err(|e| r.error(e.span().unwrap_or(0..0), e.message().trim().to_owned(), None))?;
    let mut raw = Raw::default();
    for (key, value) in table.get_ref().iter() {
        let at = value.span();
        let v = value.get_ref();
        match key.get_ref().as_ref() {
            "name" => raw.name = Some(r.string(v, at, "name")?.to_owned()),
            "variant" => raw.light = Some(r.word(v, at, "variant", &[("dark", false), ("light", true)])?),
            "inherits" => raw.inherits = Some(r.named(v, at)?),
            "depth" => {
                let known = [("true", Most::True), ("ansi16", Most::Ansi16), ("mono", Most::Mono)];
                raw.depth = Some(r.word(v, at, "depth", &known)?);
            }
            "palette" => r.palette(v, at, &mut raw)?,
            "roles" => raw.roles = r.roles(v, at, "[roles]")?,
            "ansi16" => raw.ansi16 = Some(r.roles(v, at, "[ansi16]")?),
            "mono" => raw.mono = r.roles(v, at, "[mono]")?,
            k => {
                let what = format!("a theme has no \u{201c}{k}\u{201d}");
                let help = if Role::ALL.iter().any(|role| role.name() == k) {
                    Some("roles stand below [roles]".into())
                } else {
                    offer(closest(k, TOP.iter().copied()))
                };
                return Err(r.error(key.span(), what, help));
            }
        }
    }
    Ok(raw)
}
