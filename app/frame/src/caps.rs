//! What the outer terminal can do, and how colours are brought down to what it shows. Pure arithmetic: it owns no
//! state, and it never decides which capabilities a terminal has.

use qd_tty::Color;
use serde::{Deserialize, Serialize};

/// How many colours the outer terminal shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum ColorDepth {
    /// 24-bit.
    True,
    /// The xterm palette of 256.
    #[default]
    Indexed256,
    /// The sixteen ANSI colours.
    Ansi16,
    /// None: bold, dim, reverse and underline carry the meaning.
    Mono,
}

/// What the painter may use. The default suits anything that calls itself `xterm-256color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Caps {
    /// Colours.
    pub depth: ColorDepth,
    /// Synchronized updates (DEC private mode 2026).
    pub sync: bool,
    /// Underline kinds (SGR 4:n) and underline colours (SGR 58).
    pub styled_underline: bool,
    /// Hyperlinks (OSC 8).
    pub hyperlinks: bool,
    /// ECH (`CSI n X`).
    pub erase_chars: bool,
    /// Erasing paints the current background.
    pub bce: bool,
    /// Scroll regions (DECSTBM) with SU and SD.
    pub scroll_regions: bool,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            depth: ColorDepth::Indexed256,
            sync: false,
            styled_underline: false,
            hyperlinks: false,
            erase_chars: true,
            bce: false,
            scroll_regions: true,
        }
    }
}

/// The levels of the 6×6×6 cube of the xterm palette.
const CUBE: [u8; 6] = [0, 95, 135, 175, 215, 255];

/// The sixteen ANSI colours as xterm draws them.
const ANSI: [(u8, u8, u8); 16] = [
    (0, 0, 0),
    (205, 0, 0),
    (0, 205, 0),
    (205, 205, 0),
    (0, 0, 238),
    (205, 0, 205),
    (0, 205, 205),
    (229, 229, 229),
    (127, 127, 127),
    (255, 0, 0),
    (0, 255, 0),
    (255, 255, 0),
    (92, 92, 255),
    (255, 0, 255),
    (0, 255, 255),
    (255, 255, 255),
];

fn distance(a: (u8, u8, u8), b: (u8, u8, u8)) -> u32 {
    let d = |x: u8, y: u8| u32::from(x.abs_diff(y)).pow(2);
    d(a.0, b.0) + d(a.1, b.1) + d(a.2, b.2)
}

/// The index of the nearest level of the cube.
const fn level(v: u8) -> u8 {
    match v {
        0..48 => 0,
        48..115 => 1,
        115..155 => 2,
        155..195 => 3,
        195..235 => 4,
        _ => 5,
    }
}

/// The nearest of the palette's colours 16 to 255: cube or grey ramp, whichever is closer.
fn to_256(c: (u8, u8, u8)) -> u8 {
    let (r, g, b) = (level(c.0), level(c.1), level(c.2));
    let at = |i: u8| CUBE.get(usize::from(i)).copied().unwrap_or(255);
    let cube = (at(r), at(g), at(b));
    let mean = (u16::from(c.0) + u16::from(c.1) + u16::from(c.2)) / 3;
    let step = (mean.saturating_sub(3) / 10).min(23) as u8;
    let grey = 8 + 10 * step;
    if distance((grey, grey, grey), c) < distance(cube, c) {
        232 + step
    } else {
        16 + 36 * r + 6 * g + b
    }
}

/// Red, green and blue of a palette index.
fn from_256(i: u8) -> (u8, u8, u8) {
    if let Some(c) = ANSI.get(usize::from(i)) {
        return *c;
    }
    if i >= 232 {
        let v = 8 + 10 * (i - 232);
        return (v, v, v);
    }
    let n = i - 16;
    let at = |i: u8| CUBE.get(usize::from(i)).copied().unwrap_or(255);
    (at(n / 36), at(n / 6 % 6), at(n % 6))
}

fn to_16(c: (u8, u8, u8)) -> u8 {
    (0u8..)
        .zip(ANSI)
        .min_by_key(|(_, a)| distance(*a, c))
        .map_or(7, |(i, _)| i)
}

/// `c` as a terminal of this depth can show it.
pub(crate) fn degrade(c: Color, depth: ColorDepth) -> Color {
    match depth {
        ColorDepth::True => c,
        ColorDepth::Indexed256 => c.as_rgb().map_or(c, |rgb| Color::indexed(to_256(rgb))),
        ColorDepth::Ansi16 => match (c.as_rgb(), c.as_indexed()) {
            (Some(rgb), _) => Color::indexed(to_16(rgb)),
            (None, Some(i)) if i >= 16 => Color::indexed(to_16(from_256(i))),
            _ => c,
        },
        ColorDepth::Mono => Color::DEFAULT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_go_to_the_nearest_neighbour() {
        let d = |c, depth| degrade(c, depth);
        let i = Color::indexed;
        assert_eq!(d(Color::rgb(255, 0, 0), ColorDepth::Indexed256), i(196));
        assert_eq!(d(Color::rgb(128, 128, 128), ColorDepth::Indexed256), i(244));
        assert_eq!(d(Color::rgb(0, 95, 135), ColorDepth::Indexed256), i(24));
        assert_eq!(d(i(3), ColorDepth::Ansi16), i(3));
        assert_eq!(d(i(196), ColorDepth::Ansi16), i(9));
        assert_eq!(d(Color::rgb(10, 10, 20), ColorDepth::Ansi16), i(0));
        assert_eq!(d(Color::rgb(1, 2, 3), ColorDepth::Mono), Color::DEFAULT);
        assert_eq!(d(Color::DEFAULT, ColorDepth::Ansi16), Color::DEFAULT);
        assert_eq!(d(Color::rgb(1, 2, 3), ColorDepth::True), Color::rgb(1, 2, 3));
    }

    #[test]
    fn no_palette_colour_is_nearer_than_the_one_chosen() {
        for n in 0..4096u32 {
            let rgb = ((n >> 8) as u8 * 17, (n >> 4 & 15) as u8 * 17, (n & 15) as u8 * 17);
            let best = (16..=255).map(|i| distance(from_256(i), rgb)).min().unwrap();
            let ours = distance(from_256(to_256(rgb)), rgb);
            assert!(ours <= best + best / 3 + 30, "{rgb:?}: {ours} against {best}");
        }
    }
}
