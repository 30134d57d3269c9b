//! A theme resolved for one client: the style of every role at that client's depth of colour, and the marks it can show.
//! It owns no theme file and must never change once made: a client that changes gets a new one.

use std::borrow::Cow;

use qd_frame::{ColorDepth, Style};
use qd_tty::{Attrs, Cell, Color, Sym, Underline};
use ratatui::{style as rat, symbols::border};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::{Role, Surface, Theme, nearest_indexed};

/// Which characters the chrome may be drawn with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Glyphs {
    /// Box drawing, arrows and dots.
    #[default]
    Unicode,
    /// Nothing but ASCII: other characters, even those of titles, are replaced.
    Ascii,
}

/// The marks and lines of the chrome. Each is one column wide.
#[derive(Debug, PartialEq, Eq)]
pub struct Marks {
    /// A horizontal line.
    pub horizontal: &'static str,
    /// A vertical line.
    pub vertical: &'static str,
    /// Top left, top right, bottom left and bottom right corner.
    pub corners: [&'static str; 4],
    /// The part of a scrollbar that is in view.
    pub thumb: &'static str,
    /// A mark on a scrollbar.
    pub tick: &'static str,
    /// Stands for the rest of a text that was cut.
    pub ellipsis: &'static str,
    /// More on the left.
    pub more_left: &'static str,
    /// More on the right.
    pub more_right: &'static str,
    /// Points at the row under the cursor.
    pub pointer: &'static str,
    /// A chosen row.
    pub marked: &'static str,
    /// A bell rang.
    pub bell: &'static str,
    /// There is new output.
    pub activity: &'static str,
    /// Stands between two parts of a text.
    pub dot: &'static str,
    /// Something failed or ended.
    pub failed: &'static str,
    /// Something went well.
    pub done: &'static str,
    /// Something needs a look.
    pub alert: &'static str,
    /// Something worth knowing.
    pub info: &'static str,
    /// The left edge of a toast.
    pub edge: &'static str,
    /// How often something happened.
    pub times: &'static str,
}

const UNICODE: Marks = Marks {
    horizontal: "\u{2500}",
    vertical: "\u{2502}",
    corners: ["\u{256d}", "\u{256e}", "\u{2570}", "\u{256f}"],
    thumb: "\u{2503}",
    tick: "\u{2524}",
    ellipsis: "\u{2026}",
    more_left: "\u{2039}",
    more_right: "\u{203a}",
    pointer: "\u{258c}",
    marked: "\u{25cf}",
    bell: "!",
    activity: "\u{25cf}",
    dot: "\u{b7}",
    failed: "\u{2717}",
    done: "\u{2713}",
    alert: "!",
    info: "i",
    edge: "\u{258c}",
    times: "\u{d7}",
};

const ASCII: Marks = Marks {
    horizontal: "-",
    vertical: "|",
    corners: ["+", "+", "+", "+"],
    thumb: "#",
    tick: "=",
    ellipsis: "~",
    more_left: "<",
    more_right: ">",
    pointer: ">",
    marked: "*",
    bell: "!",
    activity: "*",
    dot: "-",
    failed: "x",
    done: "+",
    alert: "!",
    info: "i",
    edge: "|",
    times: "x",
};

/// A theme as one client shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    styles: Vec<Style>,
    /// For each role, whether its background is its own rather than its surface's.
    own_bg: Vec<bool>,
    glyphs: Glyphs,
    depth: ColorDepth,
}

impl Look {
    /// Resolves `theme` for a client that shows `depth` colours and these characters.
    #[must_use]
    pub fn new(theme: &Theme, depth: ColorDepth, glyphs: Glyphs) -> Self {
        let shade = |c: Color| match (depth, c.as_rgb()) {
            (ColorDepth::Indexed256, Some(rgb)) => Color::indexed(nearest_indexed(rgb)),
            _ => c,
        };
        let mut styles = Vec::with_capacity(Role::COUNT);
        let mut own_bg = Vec::with_capacity(Role::COUNT);
        for role in Role::ALL {
            let own = theme.role_look(*role, depth);
            let under = match role.surface() {
                Surface::Screen => None,
                Surface::Bar => Some(theme.role_look(Role::BarBackground, depth)),
                Surface::Popup => Some(theme.role_look(Role::PopupBackground, depth)),
            };
            let pick = |own: Option<Color>, under: Option<Color>| own.or(under).map_or(Color::DEFAULT, shade);
            styles.push(Style {
                fg: pick(own.fg, under.and_then(|u| u.fg)),
                bg: pick(own.bg, under.and_then(|u| u.bg)),
                ul: own.ul.map_or(Color::DEFAULT, shade),
                attrs: own.attrs,
                ..Style::default()
            });
            own_bg.push(own.bg.is_some());
        }
        Self {
            styles,
            own_bg,
            glyphs,
            depth,
        }
    }

    /// The style of a role on the surface it belongs to.
    #[must_use]
    pub fn style(&self, role: Role) -> Style {
        self.styles.get(role.index()).copied().unwrap_or_default()
    }

    /// The style of a role on another role's background, unless it brings its own.
    #[must_use]
    pub fn on(&self, role: Role, surface: Role) -> Style {
        let mut s = self.style(role);
        if !self.own_bg.get(role.index()).copied().unwrap_or_default() {
            s.bg = self.style(surface).bg;
        }
        s
    }

    /// The characters that may be used.
    #[must_use]
    pub const fn glyphs(&self) -> Glyphs {
        self.glyphs
    }

    /// The depth of colour it was made for.
    #[must_use]
    pub const fn depth(&self) -> ColorDepth {
        self.depth
    }

    /// The marks and lines to draw with.
    #[must_use]
    pub const fn marks(&self) -> &'static Marks {
        match self.glyphs {
            Glyphs::Unicode => &UNICODE,
            Glyphs::Ascii => &ASCII,
        }
    }

    /// A text as this client can show it: with [`Glyphs::Ascii`], every other character gives way to one of the same
    /// width.
    #[must_use]
    pub fn text<'t>(&self, s: &'t str) -> Cow<'t, str> {
        if self.glyphs == Glyphs::Unicode || s.is_ascii() {
            return Cow::Borrowed(s);
        }
        Cow::Owned(s.graphemes(true).map(fold).collect())
    }

    /// A blank cell in a role's style.
    #[must_use]
    pub fn blank(&self, role: Role) -> Cell {
        cell(" ", self.style(role))
    }

    /// A role's style for ratatui's widgets.
    #[must_use]
    pub fn rat(&self, role: Role) -> rat::Style {
        to_rat(self.style(role))
    }

    /// The style of a role on another's background, for ratatui's widgets.
    #[must_use]
    pub fn rat_on(&self, role: Role, surface: Role) -> rat::Style {
        to_rat(self.on(role, surface))
    }

    /// The lines of a box, for ratatui's blocks.
    #[must_use]
    pub const fn border(&self) -> border::Set<'static> {
        let m = self.marks();
        let [top_left, top_right, bottom_left, bottom_right] = m.corners;
        border::Set {
            top_left,
            top_right,
            bottom_left,
            bottom_right,
            vertical_left: m.vertical,
            vertical_right: m.vertical,
            horizontal_top: m.horizontal,
            horizontal_bottom: m.horizontal,
        }
    }
}

/// A cell that shows one narrow symbol.
pub(crate) fn cell(symbol: &str, s: Style) -> Cell {
    Cell {
        sym: Sym::from_cluster(symbol),
        fg: s.fg,
        bg: s.bg,
        ul: s.ul,
        attrs: s.attrs & Attrs::STYLE,
        link: s.link,
    }
}

/// The ASCII that stands for a grapheme, of the same width.
pub(crate) fn fold(g: &str) -> &str {
    if g.is_ascii() {
        return g;
    }
    match g {
        "\u{2026}" => "~",
        "\u{b7}" | "\u{2013}" | "\u{2014}" | "\u{2500}" | "\u{2212}" => "-",
        "\u{2022}" | "\u{25cf}" | "\u{25cb}" => "*",
        "\u{25b8}" | "\u{25b6}" | "\u{203a}" | "\u{2192}" | "\u{25ba}" => ">",
        "\u{25c2}" | "\u{2039}" | "\u{2190}" => "<",
        "\u{2191}" => "^",
        "\u{2193}" => "v",
        "\u{2018}" | "\u{2019}" => "'",
        "\u{201c}" | "\u{201d}" => "\"",
        "\u{d7}" | "\u{2717}" => "x",
        "\u{2713}" => "+",
        "\u{a0}" => " ",
        "\u{2502}" | "\u{2503}" | "\u{258c}" => "|",
        _ => match g.width() {
            0 => "",
            1 => "?",
            _ => "??",
        },
    }
}

fn rat_color(c: Color) -> rat::Color {
    match (c.as_indexed(), c.as_rgb()) {
        (Some(i), _) => rat::Color::Indexed(i),
        (_, Some((r, g, b))) => rat::Color::Rgb(r, g, b),
        _ => rat::Color::Reset,
    }
}

const PAIRS: [(Attrs, rat::Modifier); 7] = [
    (Attrs::BOLD, rat::Modifier::BOLD),
    (Attrs::DIM, rat::Modifier::DIM),
    (Attrs::ITALIC, rat::Modifier::ITALIC),
    (Attrs::BLINK, rat::Modifier::SLOW_BLINK),
    (Attrs::REVERSE, rat::Modifier::REVERSED),
    (Attrs::HIDDEN, rat::Modifier::HIDDEN),
    (Attrs::STRIKE, rat::Modifier::CROSSED_OUT),
];

/// Our style as ratatui's. Overlines and the kinds and colours of underlines are not carried: it has no words for them.
#[must_use]
pub fn to_rat(s: Style) -> rat::Style {
    let mut m = rat::Modifier::empty();
    for (ours, theirs) in PAIRS {
        if s.attrs.contains(ours) {
            m |= theirs;
        }
    }
    if s.attrs.underline() != Underline::None {
        m |= rat::Modifier::UNDERLINED;
    }
    rat::Style::new()
        .fg(rat_color(s.fg))
        .bg(rat_color(s.bg))
        .add_modifier(m)
}

/// A ratatui cell's style as ours.
pub(crate) fn from_rat(c: &ratatui::buffer::Cell) -> Style {
    let color = |c: rat::Color| match c {
        rat::Color::Rgb(r, g, b) => Color::rgb(r, g, b),
        rat::Color::Indexed(i) => Color::indexed(i),
        rat::Color::Reset => Color::DEFAULT,
        rat::Color::Black => Color::indexed(0),
        rat::Color::Red => Color::indexed(1),
        rat::Color::Green => Color::indexed(2),
        rat::Color::Yellow => Color::indexed(3),
        rat::Color::Blue => Color::indexed(4),
        rat::Color::Magenta => Color::indexed(5),
        rat::Color::Cyan => Color::indexed(6),
        rat::Color::Gray => Color::indexed(7),
        rat::Color::DarkGray => Color::indexed(8),
        rat::Color::LightRed => Color::indexed(9),
        rat::Color::LightGreen => Color::indexed(10),
        rat::Color::LightYellow => Color::indexed(11),
        rat::Color::LightBlue => Color::indexed(12),
        rat::Color::LightMagenta => Color::indexed(13),
        rat::Color::LightCyan => Color::indexed(14),
        rat::Color::White => Color::indexed(15),
    };
    let mut attrs = Attrs::empty();
    for (ours, theirs) in PAIRS {
        if c.modifier.contains(theirs) {
            attrs |= ours;
        }
    }
    if c.modifier.contains(rat::Modifier::RAPID_BLINK) {
        attrs |= Attrs::BLINK;
    }
    if c.modifier.contains(rat::Modifier::UNDERLINED) {
        attrs = attrs.with_underline(Underline::Single);
    }
    Style {
        fg: color(c.fg),
        bg: color(c.bg),
        attrs,
        ..Style::default()
    }
}
