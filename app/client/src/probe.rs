//! What the outer terminal can do: first from the environment, so that nothing waits at the start, then from what it
//! answers. Pure functions; nothing here reads the environment or a terminal by itself.

use qd_frame::{Caps, ColorDepth};
use qd_proto::Capabilities;

use crate::decode::{Reply, Scheme};

/// Terminals that draw everything the painter knows, by the start of what they call themselves in XTVERSION or in
/// `TERM_PROGRAM`.
const RICH: &[&str] = &[
    "kitty",
    "foot",
    "wezterm",
    "ghostty",
    "iterm",
    "contour",
    "alacritty",
    "rio",
    "mintty",
    "konsole",
    "vscode",
];

fn rich(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    RICH.iter().any(|r| name.starts_with(r))
}

/// The capabilities that the environment speaks for.
#[must_use]
pub fn from_env(lookup: &dyn Fn(&str) -> Option<String>) -> Capabilities {
    let var = |name: &str| lookup(name).filter(|v| !v.is_empty());
    let term = var("TERM").unwrap_or_default();
    let program = var("TERM_PROGRAM").unwrap_or_default();
    let vte = var("VTE_VERSION").and_then(|v| v.parse::<u32>().ok()).unwrap_or(0);
    let windows = var("WT_SESSION").is_some();
    let starts = |names: &[&str]| names.iter().any(|n| term.starts_with(n));
    let dumb = term.is_empty() || term == "dumb";
    let console = term == "linux";
    // Inside of another multiplexer the variables of the terminal around it say nothing.
    let nested = var("TMUX").is_some() || var("STY").is_some() || starts(&["tmux", "screen"]);
    let named = !nested
        && (rich(&program)
            || vte >= 5102
            || starts(&[
                "xterm-kitty",
                "xterm-ghostty",
                "alacritty",
                "foot",
                "wezterm",
                "contour",
                "rio",
            ]));
    let full = var("COLORTERM").is_some_and(|c| c.contains("truecolor") || c.contains("24bit"))
        || term.contains("-direct")
        || (!nested && (named || windows));
    let depth = if var("NO_COLOR").is_some() || dumb {
        ColorDepth::Mono
    } else if full {
        ColorDepth::True
    } else if term.contains("256") || program == "Apple_Terminal" {
        ColorDepth::Indexed256
    } else {
        ColorDepth::Ansi16
    };
    let screen = starts(&["screen"]) && var("TMUX").is_none();
    let paint = Caps {
        depth,
        sync: false,
        styled_underline: named,
        hyperlinks: named || (!nested && (windows || vte >= 5000)),
        erase_chars: !dumb && !screen,
        bce: !nested && starts(&["xterm", "alacritty", "foot", "rxvt", "linux"]) && !term.starts_with("xterm-kitty"),
        scroll_regions: !dumb && !console,
    };
    let locale = var("LC_ALL").or_else(|| var("LC_CTYPE")).or_else(|| var("LANG"));
    let ascii = locale.is_some_and(|l| {
        let l = l.to_ascii_lowercase();
        !l.contains("utf-8") && !l.contains("utf8")
    });
    let light = var("COLORFGBG")
        .and_then(|v| v.rsplit(';').next()?.parse::<u8>().ok())
        .map(|b| b == 7 || b == 15);
    Capabilities {
        paint,
        kitty_keyboard: false,
        ascii: ascii || dumb,
        light,
    }
}

/// Whether the terminal may be asked questions: some print them instead.
#[must_use]
pub fn may_ask(lookup: &dyn Fn(&str) -> Option<String>) -> bool {
    lookup("TERM").is_some_and(|t| !matches!(t.as_str(), "" | "dumb" | "linux" | "cons25" | "vt52"))
}

/// The questions: XTVERSION, synchronized updates, the keyboard protocol, the background, and DA1 at the end, which
/// every terminal answers, so that its answer closes the list. Reports of a changed colour scheme are asked for too.
#[must_use]
pub const fn queries() -> &'static [u8] {
    b"\x1b[>q\x1b[?2026$p\x1b[?u\x1b]11;?\x1b\\\x1b[?2031h\x1b[c"
}

/// Whether this answer is the last one.
#[must_use]
pub const fn is_fence(reply: &Reply) -> bool {
    matches!(reply, Reply::PrimaryAttributes(_))
}

/// Learns from an answer; says whether anything changed.
pub fn apply(caps: &mut Capabilities, reply: &Reply) -> bool {
    let before = *caps;
    match reply {
        Reply::Mode { mode: 2026, state } => caps.paint.sync = matches!(state, 1..=3),
        Reply::Kitty(_) => caps.kitty_keyboard = true,
        Reply::Version(v) if rich(v) => {
            caps.paint.styled_underline = true;
            caps.paint.hyperlinks = true;
            if caps.paint.depth == ColorDepth::Indexed256 {
                caps.paint.depth = ColorDepth::True;
            }
        }
        Reply::Background { r, g, b } => {
            let luminance = 299 * u32::from(*r) + 587 * u32::from(*g) + 114 * u32::from(*b);
            caps.light = Some(luminance > 127_500);
        }
        Reply::ColorScheme(s) => caps.light = Some(*s == Scheme::Light),
        _ => {}
    }
    *caps != before
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(vars: &[(&str, &str)]) -> Capabilities {
        from_env(&|name| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn the_environment_is_read_as_terminals_write_it() {
        let c = env(&[("TERM", "xterm-256color")]);
        assert_eq!(c.paint.depth, ColorDepth::Indexed256);
        assert!(c.paint.scroll_regions && c.paint.erase_chars && c.paint.bce && !c.paint.sync && !c.ascii);
        assert_eq!(
            env(&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")])
                .paint
                .depth,
            ColorDepth::True
        );
        assert_eq!(
            env(&[("TERM", "xterm-256color"), ("VTE_VERSION", "7200")]).paint.depth,
            ColorDepth::True
        );
        assert_eq!(
            env(&[("TERM", "xterm-kitty"), ("NO_COLOR", "1")]).paint.depth,
            ColorDepth::Mono
        );
        assert_eq!(
            env(&[("TERM", "xterm-kitty"), ("NO_COLOR", "")]).paint.depth,
            ColorDepth::True
        );
        assert!(!env(&[("TERM", "linux")]).paint.scroll_regions);
        assert!(env(&[]).ascii && !env(&[]).paint.erase_chars);
        let t = env(&[
            ("TERM", "tmux-256color"),
            ("TMUX", "/x"),
            ("VTE_VERSION", "7200"),
            ("TERM_PROGRAM", "tmux"),
        ]);
        assert!(!t.paint.hyperlinks && !t.paint.bce && t.paint.depth == ColorDepth::Indexed256);
        assert!(env(&[("TERM", "xterm"), ("LANG", "de_DE.ISO-8859-1")]).ascii);
        assert!(env(&[("TERM", "xterm"), ("LANG", "en_US.UTF-8"), ("LC_ALL", "C")]).ascii);
        assert!(!env(&[("TERM", "xterm"), ("LC_ALL", "C.utf8")]).ascii);
        assert_eq!(env(&[("TERM", "xterm"), ("COLORFGBG", "0;15")]).light, Some(true));
    }

    #[test]
    fn answers_teach() {
        let mut c = env(&[("TERM", "xterm-256color")]);
        assert!(apply(&mut c, &Reply::Version("WezTerm 2024".into())));
        assert!(c.paint.hyperlinks && c.paint.depth == ColorDepth::True);
        assert!(apply(&mut c, &Reply::Mode { mode: 2026, state: 2 }) && c.paint.sync);
        assert!(!apply(&mut c, &Reply::Mode { mode: 2026, state: 2 }));
        assert!(apply(&mut c, &Reply::Mode { mode: 2026, state: 0 }) && !c.paint.sync);
        assert!(apply(&mut c, &Reply::Kitty(0)) && c.kitty_keyboard);
        assert!(apply(&mut c, &Reply::Background { r: 250, g: 250, b: 240 }) && c.light == Some(true));
        assert!(apply(&mut c, &Reply::ColorScheme(Scheme::Dark)) && c.light == Some(false));
        assert!(!apply(&mut c, &Reply::PrimaryAttributes(vec![62])));
        let mut mono = env(&[("TERM", "xterm-256color"), ("NO_COLOR", "1")]);
        apply(&mut mono, &Reply::Version("kitty(0.36)".into()));
        assert_eq!(mono.paint.depth, ColorDepth::Mono);
    }
}
