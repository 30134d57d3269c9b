//! Themes: which look each role has, at each depth of colour. This module owns the theme files that ship with the program
//! and how themes inherit; it must never draw, and never ask the terminal anything.

mod color;
mod file;
mod look;
mod role;

use qd_frame::ColorDepth;
use qd_tty::Color;

pub use color::{contrast_ratio, nearest_indexed};
use file::{Most, Named, Raw, RoleLook, Roles};
pub use look::{Glyphs, Look, Marks, to_rat};
pub(crate) use look::{cell, fold, from_rat};
pub use role::{Role, RoleKind, Surface, UnknownRole};

/// How many themes may inherit from each other in a row.
const MAX_DEPTH: usize = 8;

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        const SHIPPED: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../../themes/", $name, ".toml"))),)*];
        const NAMES: &[&str] = &[$($name,)*];
    };
}

shipped!(
    "catppuccin-mocha",
    "catppuccin-macchiato",
    "catppuccin-frappe",
    "catppuccin-latte",
    "gruvbox-dark",
    "gruvbox-light",
    "nord",
    "solarized-dark",
    "solarized-light",
    "dracula",
    "tokyo-night",
    "ansi16",
    "mono",
);

/// What the shipped themes inherit from: the roles, in terms of a palette that each of them gives.
const BASE: &str = include_str!("../../../../themes/base.toml");

/// Why a theme can't be used, and where it says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {what}{}", help.as_ref().map(|h| format!(" \u{2014} {h}")).unwrap_or_default())]
pub struct ThemeError {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// Finds the text of the theme that another inherits from: the name of its file, and what is in it.
pub type Parents<'a> = dyn Fn(&str) -> Option<(String, String)> + 'a;

/// A theme: a look for every role, in true colour, in sixteen colours and without colour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Theme {
    name: String,
    title: String,
    light: bool,
    most: ColorDepth,
    rich: Vec<RoleLook>,
    ansi16: Vec<RoleLook>,
    mono: Vec<RoleLook>,
}

impl Theme {
    /// The names of the themes that ship with the program.
    #[must_use]
    pub fn builtin_names() -> &'static [&'static str] {
        NAMES
    }

    /// The text of a shipped theme's file.
    #[must_use]
    pub fn builtin_text(name: &str) -> Option<&'static str> {
        if name == "base" {
            return Some(BASE);
        }
        SHIPPED.iter().find(|(n, _)| *n == name).map(|(_, t)| *t)
    }

    /// A theme that ships with the program.
    #[must_use]
    pub fn builtin(name: &str) -> Option<Self> {
        NAMES.iter().find(|n| **n == name)?;
        Self::parse(Self::builtin_text(name)?, &format!("{name}.toml")).ok()
    }

    /// Reads a theme file that may inherit from a shipped theme. The theme's name is the file's, without folder and
    /// `.toml`.
    ///
    /// # Errors
    /// The first mistake in the file, with its line and, where one is near, the name that was probably meant.
    pub fn parse(text: &str, file: &str) -> Result<Self, ThemeError> {
        Self::parse_with(text, file, &|_| None)
    }

    /// Like [`Theme::parse`], with more themes to inherit from: `parents` is asked before the shipped ones.
    ///
    /// # Errors
    /// As [`Theme::parse`]; also when themes inherit in a circle.
    pub fn parse_with(text: &str, file: &str, parents: &Parents<'_>) -> Result<Self, ThemeError> {
        let mut raw = file::read(text, file)?;
        let mut next = raw.inherits.take();
        let mut at = file.to_owned();
        for depth in 0.. {
            let Some(parent) = next else { break };
            let fail = |what: String, help: Option<String>| ThemeError {
                file: at.clone(),
                line: parent.line,
                what,
                help,
            };
            if depth >= MAX_DEPTH {
                return Err(fail(
                    format!("more than {MAX_DEPTH} themes inherit from each other"),
                    None,
                ));
            }
            let found = parents(&parent.name)
                .or_else(|| Self::builtin_text(&parent.name).map(|t| (format!("{}.toml", parent.name), t.to_owned())));
            let Some((parent_file, parent_text)) = found else {
                let near = file::closest(&parent.name, NAMES.iter().copied());
                let what = format!("there is no theme \u{201c}{}\u{201d} to inherit from", parent.name);
                return Err(fail(what, file::offer(near)));
            };
            let mut parent_raw = file::read(&parent_text, &parent_file)?;
            next = parent_raw.inherits.take();
            at = parent_file;
            raw.take_missing(parent_raw);
        }
        Self::resolve(raw, file)
    }

    fn resolve(raw: Raw, file: &str) -> Result<Self, ThemeError> {
        let stem = file.rsplit('/').next().unwrap_or(file);
        let name = stem.strip_suffix(".toml").unwrap_or(stem).to_owned();
        let fail = |what: String, help: &str| ThemeError {
            file: file.to_owned(),
            line: 1,
            what,
            help: Some(help.to_owned()),
        };
        let Some(sixteen) = &raw.ansi16 else {
            return Err(fail(
                "the [ansi16] table is missing".into(),
                "give the roles their looks on sixteen colours, or inherit = \"base\"",
            ));
        };
        let most = match raw.depth {
            None | Some(Most::True) => ColorDepth::True,
            Some(Most::Ansi16) => ColorDepth::Ansi16,
            Some(Most::Mono) => ColorDepth::Mono,
        };
        let ansi16 = resolve_roles(sixteen, "[ansi16]", file, &ansi_color)?;
        let mono = resolve_roles(&raw.mono, "[mono]", file, &|n, f| {
            Err(ThemeError {
                file: f.to_owned(),
                line: n.line,
                what: "a look in [mono] has no colours".into(),
                help: Some("use modifiers and underline".into()),
            })
        })?;
        let rich = if most == ColorDepth::True {
            resolve_roles(&raw.roles, "[roles]", file, &|n, f| palette_color(&raw, n, f))?
        } else {
            Vec::new()
        };
        let title = raw.name.clone().unwrap_or_else(|| name.clone());
        Ok(Self {
            name,
            title,
            light: raw.light.unwrap_or(false),
            most,
            rich,
            ansi16,
            mono,
        })
    }

    /// Its name, as the configuration has it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its name for people.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Whether it is made for a light background.
    #[must_use]
    pub const fn is_light(&self) -> bool {
        self.light
    }

    /// The look of a role where `depth` colours can be shown.
    fn role_look(&self, role: Role, depth: ColorDepth) -> RoleLook {
        let table = match (depth, self.most) {
            (ColorDepth::Mono, _) | (_, ColorDepth::Mono) => &self.mono,
            (ColorDepth::Ansi16, _) | (_, ColorDepth::Ansi16) => &self.ansi16,
            _ => &self.rich,
        };
        table.get(role.index()).copied().unwrap_or_default()
    }
}

/// Turns a table of names into looks, one a role.
fn resolve_roles(
    roles: &Roles,
    table: &str,
    file: &str,
    find: &dyn Fn(&Named, &str) -> Result<Color, ThemeError>,
) -> Result<Vec<RoleLook>, ThemeError> {
    let mut out = Vec::with_capacity(Role::COUNT);
    for role in Role::ALL {
        let Some(raw) = roles.get(role) else {
            return Err(ThemeError {
                file: file.to_owned(),
                line: 1,
                what: format!("{table} lacks the role \u{201c}{role}\u{201d}"),
                help: Some("add it, or inherits = \"base\"".into()),
            });
        };
        let get = |n: &Option<Named>| n.as_ref().map(|n| find(n, &raw.file)).transpose();
        out.push(RoleLook {
            fg: get(&raw.fg)?,
            bg: get(&raw.bg)?,
            ul: get(&raw.ul)?,
            attrs: raw.attrs,
        });
    }
    Ok(out)
}

fn ansi_color(n: &Named, file: &str) -> Result<Color, ThemeError> {
    color::ansi(&n.name).ok_or_else(|| ThemeError {
        file: file.to_owned(),
        line: n.line,
        what: format!("\u{201c}{}\u{201d} is none of the sixteen colours", n.name),
        help: file::offer(file::closest(&n.name, color::ansi_names()))
            .or_else(|| Some("they are black, red, …, bright-white, and default".into())),
    })
}

/// The colour that a name of the palette stands for: entries may name one another.
fn palette_color(raw: &Raw, n: &Named, file: &str) -> Result<Color, ThemeError> {
    let (mut name, mut line, mut file) = (n.name.as_str(), n.line, file);
    for _ in 0..=raw.palette.len() {
        let fail = |what: String, help| {
            Err(ThemeError {
                file: file.to_owned(),
                line,
                what,
                help,
            })
        };
        if name.starts_with('#') {
            return match color::hex(name) {
                Some((r, g, b)) => Ok(Color::rgb(r, g, b)),
                None => fail(
                    format!("\u{201c}{name}\u{201d} is no colour"),
                    Some("write it like \"#1e1e2e\"".into()),
                ),
            };
        }
        if name == "default" {
            return Ok(Color::DEFAULT);
        }
        let Some((next, at)) = raw.palette.get(name) else {
            let near = file::closest(name, raw.palette.keys().map(String::as_str));
            return fail(format!("the palette has no \u{201c}{name}\u{201d}"), file::offer(near));
        };
        (name, line, file) = (&next.name, next.line, at);
    }
    Err(ThemeError {
        file: file.to_owned(),
        line,
        what: format!("the palette entry \u{201c}{}\u{201d} leads back to itself", n.name),
        help: None,
    })
}
