//! The shipped themes: every role has its look, words can be read, states differ without colour, and a mistake in a theme
//! file is told with its place.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests fail as tests do")]

use qd_frame::{ColorDepth, Style};
use qd_tty::{Attrs, Color};
use qd_ui::{Glyphs, Look, Role, RoleKind, Theme, contrast_ratio};

/// The least contrast of words with what they stand on (WCAG 2.1, level AA).
const LEAST: f64 = 4.5;

fn themes() -> Vec<Theme> {
    Theme::builtin_names()
        .iter()
        .map(|n| {
            let text = Theme::builtin_text(n).unwrap();
            Theme::parse(text, &format!("{n}.toml")).unwrap_or_else(|e| panic!("{e}"))
        })
        .collect()
}

fn look(theme: &Theme, depth: ColorDepth) -> Look {
    Look::new(theme, depth, Glyphs::Unicode)
}

fn truecolor() -> impl Iterator<Item = (Theme, Look)> {
    themes()
        .into_iter()
        .filter(|t| !matches!(t.name(), "ansi16" | "mono"))
        .map(|t| {
            let l = look(&t, ColorDepth::True);
            (t, l)
        })
}

fn ratio(style: Style, bg: Color) -> f64 {
    let (mut fg, mut bg) = (style.fg.as_rgb().unwrap(), bg.as_rgb().unwrap());
    if style.attrs.contains(Attrs::REVERSE) {
        std::mem::swap(&mut fg, &mut bg);
    }
    contrast_ratio(fg, bg)
}

#[test]
fn all_thirteen_ship_and_read() {
    let names: Vec<_> = themes().iter().map(|t| t.name().to_owned()).collect();
    assert_eq!(names, Theme::builtin_names());
    assert_eq!(names.len(), 13);
    let light: Vec<_> = themes()
        .iter()
        .filter(|t| t.is_light())
        .map(|t| t.name().to_owned())
        .collect();
    assert_eq!(light, ["catppuccin-latte", "gruvbox-light", "solarized-light"]);
    assert!(Theme::builtin("base").is_none(), "it is inherited from, not used");
    assert!(Theme::builtin("nonsense").is_none());
}

#[test]
fn palettes_keep_their_notices() {
    for name in Theme::builtin_names()
        .iter()
        .filter(|n| !matches!(**n, "ansi16" | "mono"))
    {
        let head: String = Theme::builtin_text(name)
            .unwrap()
            .lines()
            .take_while(|l| l.starts_with('#'))
            .collect();
        assert!(head.contains("License") && head.contains("https://"), "{name}: {head}");
    }
}

#[test]
fn words_can_be_read_on_whatever_they_stand_on() {
    let mut bad = Vec::new();
    for (theme, look) in truecolor() {
        let screen = look.style(Role::Background).bg;
        for role in Role::ALL {
            let style = look.style(*role);
            // A wash keeps the words' own colour unless it gives one; those pairs are below.
            if role.kind() == RoleKind::Line || role.kind() == RoleKind::Wash && style.fg.is_default() {
                continue;
            }
            let bg = if style.bg.is_default() { screen } else { style.bg };
            let r = ratio(style, bg);
            if r < LEAST {
                bad.push(format!("{} {role}: {r:.2}", theme.name()));
            }
        }
        let everywhere = [
            Role::Text,
            Role::TextDim,
            Role::TextError,
            Role::TextWarn,
            Role::TextOk,
            Role::TextInfo,
            Role::ListMatch,
            Role::ListKeys,
            Role::ListMarked,
            Role::ListDisabled,
            Role::PopupTitle,
            Role::LogTrace,
            Role::LogDebug,
            Role::LogInfo,
            Role::LogWarn,
            Role::LogError,
            Role::Http2xx,
            Role::Http3xx,
            Role::Http4xx,
            Role::Http5xx,
            Role::RaftLeader,
            Role::RaftFollower,
            Role::DiffAdded,
            Role::DiffRemoved,
            Role::HintKey,
            Role::HintLabel,
        ];
        for role in everywhere {
            for under in [
                Role::Background,
                Role::BarBackground,
                Role::PopupBackground,
                Role::ListSelected,
            ] {
                let style = look.on(role, under);
                let r = ratio(style, style.bg);
                if r < LEAST {
                    bad.push(format!("{} {role} on {under}: {r:.2}", theme.name()));
                }
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn lines_can_be_told_from_the_screen() {
    for (theme, look) in truecolor() {
        let screen = look.style(Role::Background).bg;
        for role in Role::ALL.iter().filter(|r| r.kind() == RoleKind::Line) {
            let r = ratio(look.style(*role), screen);
            assert!(r >= 1.3, "{} {role}: {r:.2}", theme.name());
        }
        let (quiet, focused) = (look.style(Role::PaneFrame), look.style(Role::PaneFrameFocused));
        assert!(
            ratio(focused, screen) >= 3.0,
            "{}: the focused frame is faint",
            theme.name()
        );
        assert!(
            ratio(focused, screen) > 1.3 * ratio(quiet, screen),
            "{}: focus hardly shows",
            theme.name()
        );
    }
}

/// Roles that tell states of one thing apart, so that no two of a group may look the same.
const STATES: &[&[Role]] = &[
    &[
        Role::PaneTitle,
        Role::PaneTitleFocused,
        Role::PaneTitleDead,
        Role::PaneTitleAlert,
    ],
    &[Role::TabActive, Role::TabInactive],
    &[Role::ListSelected, Role::PopupBackground, Role::ListDisabled],
    &[Role::ListMatch, Role::PopupBackground],
    &[Role::HintKey, Role::HintLabel, Role::HintDisabled],
    &[Role::SearchMatch, Role::SearchCurrent, Role::Text],
    &[Role::Selection, Role::Text],
    &[Role::InputError, Role::PopupBackground],
    &[Role::PopupButton, Role::PopupBackground],
    &[Role::DiffAdded, Role::DiffRemoved, Role::Text],
    &[Role::PaneFrame, Role::PaneFrameFocused],
    &[Role::LogInfo, Role::LogWarn, Role::LogError, Role::LogTrace],
    &[Role::RaftLeader, Role::RaftFollower],
    &[Role::ModeRaw, Role::ModeLeader, Role::BarBackground],
    &[Role::ModeRaw, Role::BarBackground, Role::HintKey],
];

#[test]
fn states_differ_at_every_depth() {
    for theme in themes() {
        for depth in [
            ColorDepth::True,
            ColorDepth::Indexed256,
            ColorDepth::Ansi16,
            ColorDepth::Mono,
        ] {
            let look = look(&theme, depth);
            for group in STATES {
                for (i, a) in group.iter().enumerate() {
                    for b in &group[i + 1..] {
                        let (x, y) = (look.style(*a), look.style(*b));
                        assert_ne!(x, y, "{} at {depth:?}: {a} and {b}", theme.name());
                    }
                }
            }
        }
    }
}

#[test]
fn without_colour_there_is_no_colour_and_with_sixteen_no_more() {
    for theme in themes() {
        for role in Role::ALL {
            let s = look(&theme, ColorDepth::Mono).style(*role);
            assert!(
                s.fg.is_default() && s.bg.is_default() && s.ul.is_default(),
                "{} {role}",
                theme.name()
            );
            let s = look(&theme, ColorDepth::Ansi16).style(*role);
            let few = |c: Color| c.is_default() || c.as_indexed().is_some_and(|i| i < 16);
            assert!(few(s.fg) && few(s.bg) && few(s.ul), "{} {role}", theme.name());
            // A colour that may be the terminal's own background must bring a background with it.
            let risky = |c: Color| c.as_indexed().is_some_and(|i| matches!(i, 0 | 7 | 8 | 15));
            assert!(!risky(s.fg) || !s.bg.is_default(), "{} {role}", theme.name());
            let s = look(&theme, ColorDepth::Indexed256).style(*role);
            assert!(s.fg.as_rgb().is_none() && s.bg.as_rgb().is_none() && s.ul.as_rgb().is_none());
        }
    }
    let ansi = Theme::builtin("ansi16").unwrap();
    assert_eq!(
        look(&ansi, ColorDepth::True).style(Role::TextError).fg,
        Color::indexed(1)
    );
    let mono = Theme::builtin("mono").unwrap();
    assert!(look(&mono, ColorDepth::True).style(Role::TextError).fg.is_default());
}

#[test]
fn a_role_takes_the_background_it_is_put_on() {
    let theme = Theme::builtin("nord").unwrap();
    let look = look(&theme, ColorDepth::True);
    let bar = look.style(Role::BarBackground).bg;
    assert_eq!(look.style(Role::HintLabel).bg, bar);
    assert_eq!(look.on(Role::TextError, Role::BarBackground).bg, bar);
    assert_eq!(
        look.style(Role::TextError).bg,
        Color::DEFAULT,
        "on the screen the terminal's own shows"
    );
    let own = look.style(Role::ModeLock).bg;
    assert_eq!(
        look.on(Role::ModeLock, Role::PopupBackground).bg,
        own,
        "its own background stays"
    );
}

fn error(text: &str) -> String {
    Theme::parse(text, "themes/mine.toml").unwrap_err().to_string()
}

#[test]
fn mistakes_are_told_with_their_line_and_what_was_probably_meant() {
    let head = "inherits = \"nord\"\n";
    let cases = [
        (
            "[roles]\n\"pane.fram\" = \"nord0\"\n",
            "3: there is no role “pane.fram” — did you mean “pane.frame”?",
        ),
        (
            "[roles]\npane.frame = \"nord0\"\n",
            "3: there is no role “pane” — put a role's name in quotes, like \"pane.frame\"",
        ),
        (
            "[roles]\n\n\"text\" = \"nrod4\"\n",
            "4: the palette has no “nrod4” — did you mean “nord4”?",
        ),
        (
            "[palette]\nx = \"#12345\"\n",
            "3: “#12345” is no colour — write it like \"#1e1e2e\"",
        ),
        (
            "[palette]\n\"ui.fg\" = \"a\"\na = \"b\"\nb = \"a\"\n",
            "the palette entry “ui.fg” leads back to itself",
        ),
        (
            "[roles]\ntext = { fg = \"nord4\", modifiers = [\"bald\"] }\n",
            "3: “bald” is no modifier — did you mean “bold”?",
        ),
        (
            "[roles]\ntext = { fgg = \"nord4\" }\n",
            "3: a look has no “fgg” — did you mean “fg”?",
        ),
        (
            "[roles]\ntext = { underline = \"curley\" }\n",
            "3: “curley” is no underline style — did you mean “curly”?",
        ),
        ("[roles]\ntext = 7\n", "3: a look must be a table, not integer"),
        (
            "[ansi16]\ntext = \"bright-blu\"\n",
            "3: “bright-blu” is none of the sixteen colours — did you mean “bright-blue”?",
        ),
        (
            "[ansi16]\ntext = \"#ff0000\"\n",
            "3: “#ff0000” is none of the sixteen colours",
        ),
        (
            "[mono]\ntext = \"red\"\n",
            "3: a look in [mono] has no colours — use modifiers and underline",
        ),
        ("[rolls]\n", "2: a theme has no “rolls” — did you mean “roles”?"),
        (
            "variant = \"darkish\"\n",
            "2: “darkish” is no variant — did you mean “dark”?",
        ),
        ("[roles\n", "2: "),
    ];
    for (text, want) in cases {
        let got = error(&format!("{head}{text}"));
        assert!(
            got.starts_with("themes/mine.toml:") && got.contains(want),
            "{got}\n  wanted {want}"
        );
    }
    let got = error("inherits = \"catpuccin-mocha\"\n");
    assert!(got.ends_with("did you mean “catppuccin-mocha”?"), "{got}");
    assert!(error("[palette]\n").contains("the [ansi16] table is missing"));
    assert!(error("[ansi16]\ntext = \"red\"\n").contains("[ansi16] lacks the role “background”"));
}

#[test]
fn a_theme_of_ones_own_changes_what_it_says_and_keeps_the_rest() {
    let mine = "inherits = \"nord\"\n[palette]\nnord4 = \"#ffffff\"\n[roles]\n\"text.error\" = { fg = \"#010203\", underline = { style = \"curly\", color = \"nord13\" }, modifiers = [\"bold\", \"italic\"] }\n";
    let theme = Theme::parse(mine, "/home/me/themes/snow.toml").unwrap();
    assert_eq!((theme.name(), theme.is_light()), ("snow", false));
    let l = look(&theme, ColorDepth::True);
    let e = l.style(Role::TextError);
    assert_eq!((e.fg, e.ul), (Color::rgb(1, 2, 3), Color::rgb(0xeb, 0xcb, 0x8b)));
    assert_eq!(
        e.attrs,
        (Attrs::BOLD | Attrs::ITALIC).with_underline(qd_tty::Underline::Curly)
    );
    assert_eq!(
        l.style(Role::Text).fg,
        Color::rgb(255, 255, 255),
        "a palette entry reaches inherited roles"
    );
    let nord = look(&Theme::builtin("nord").unwrap(), ColorDepth::True);
    assert_eq!(l.style(Role::PaneFrame), nord.style(Role::PaneFrame));
}

#[test]
fn themes_that_inherit_in_a_circle_are_refused() {
    let parents = |name: &str| Some((format!("{name}.toml"), format!("inherits = \"{name}x\"\n")));
    let e = Theme::parse_with("inherits = \"a\"\n", "me.toml", &parents).unwrap_err();
    assert!(e.what.contains("inherit from each other"), "{e}");
    let parents = |name: &str| {
        (name == "dad").then(|| {
            (
                "dad.toml".into(),
                "inherits = \"nord\"\n[roles]\ntext = \"zzz\"\n".into(),
            )
        })
    };
    let e = Theme::parse_with("inherits = \"dad\"\n", "me.toml", &parents).unwrap_err();
    assert_eq!((e.file.as_str(), e.line), ("dad.toml", 3), "{e}");
}

#[test]
fn marks_of_states_differ_and_are_one_column_wide() {
    let theme = Theme::builtin("mono").unwrap();
    for glyphs in [Glyphs::Unicode, Glyphs::Ascii] {
        let look = Look::new(&theme, ColorDepth::Mono, glyphs);
        let m = look.marks();
        for (a, b) in [
            (m.bell, m.activity),
            (m.failed, m.alert),
            (m.failed, m.done),
            (m.done, m.alert),
            (m.info, m.done),
        ] {
            assert_ne!(a, b, "{glyphs:?}");
        }
        let all = [
            m.horizontal,
            m.vertical,
            m.thumb,
            m.tick,
            m.ellipsis,
            m.more_left,
            m.more_right,
            m.pointer,
            m.marked,
        ];
        let more = [
            m.bell, m.activity, m.dot, m.failed, m.done, m.alert, m.info, m.edge, m.times,
        ];
        for mark in all.into_iter().chain(more).chain(m.corners) {
            assert_eq!(qd_ui::width(mark), 1, "{mark}");
            assert!(glyphs == Glyphs::Unicode || mark.is_ascii(), "{mark}");
        }
    }
}

/// Red, green and blue of an indexed colour from 16 on, in xterm's palette.
fn xterm(i: u8) -> (u8, u8, u8) {
    let level = |n: u8| [0, 95, 135, 175, 215, 255][usize::from(n)];
    match i {
        232.. => (8 + 10 * (i - 232), 8 + 10 * (i - 232), 8 + 10 * (i - 232)),
        _ => (level((i - 16) / 36), level((i - 16) / 6 % 6), level((i - 16) % 6)),
    }
}

#[test]
fn words_stay_readable_on_256_colours() {
    let mut bad = Vec::new();
    for theme in themes().iter().filter(|t| !matches!(t.name(), "ansi16" | "mono")) {
        let look = look(theme, ColorDepth::Indexed256);
        let screen = look.style(Role::Background).bg;
        for role in Role::ALL.iter().filter(|r| r.kind() == RoleKind::Text) {
            let s = look.style(*role);
            let bg = if s.bg.is_default() { screen } else { s.bg };
            let r = contrast_ratio(xterm(s.fg.as_indexed().unwrap()), xterm(bg.as_indexed().unwrap()));
            if r < 3.5 {
                bad.push(format!("{} {role}: {r:.2}", theme.name()));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}
