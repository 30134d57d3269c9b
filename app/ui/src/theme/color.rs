//! Arithmetic on colours: reading `#rrggbb` and the sixteen names, contrast, and the nearest of the 256 indexed colours.
//! It owns no state and must never know which role a colour is for.

use qd_tty::Color;

/// The names of the sixteen ANSI colours, by index.
const ANSI: [&str; 16] = [
    "black",
    "red",
    "green",
    "yellow",
    "blue",
    "magenta",
    "cyan",
    "white",
    "bright-black",
    "bright-red",
    "bright-green",
    "bright-yellow",
    "bright-blue",
    "bright-magenta",
    "bright-cyan",
    "bright-white",
];

/// Reads `#rgb` or `#rrggbb`.
pub(super) fn hex(s: &str) -> Option<(u8, u8, u8)> {
    let h = s.strip_prefix('#')?;
    if !h.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let n = u32::from_str_radix(h, 16).ok()?;
    match h.len() {
        3 => {
            let d = |shift: u32| ((n >> shift & 0xf) * 17) as u8;
            Some((d(8), d(4), d(0)))
        }
        6 => Some(((n >> 16) as u8, (n >> 8) as u8, n as u8)),
        _ => None,
    }
}

/// Reads `default` or the name of one of the sixteen.
pub(super) fn ansi(s: &str) -> Option<Color> {
    if s == "default" {
        return Some(Color::DEFAULT);
    }
    let i = ANSI.iter().position(|n| *n == s)?;
    u8::try_from(i).ok().map(Color::indexed)
}

/// The names that [`ansi`] reads.
pub(super) fn ansi_names() -> impl Iterator<Item = &'static str> {
    std::iter::once("default").chain(ANSI)
}

/// The relative luminance of WCAG 2.1.
fn luminance((r, g, b): (u8, u8, u8)) -> f64 {
    let lin = |v: u8| {
        let c = f64::from(v) / 255.0;
        if c <= 0.04045 {
            c / 12.92
        } else {
            ((c + 0.055) / 1.055).powf(2.4)
        }
    };
    0.2126 * lin(r) + 0.7152 * lin(g) + 0.0722 * lin(b)
}

/// The contrast ratio of two colours as WCAG 2.1 defines it: 1.0 for equal ones, 21.0 for black on white.
#[must_use]
pub fn contrast_ratio(a: (u8, u8, u8), b: (u8, u8, u8)) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

/// The levels of the 6×6×6 cube of xterm's indexed colours.
const CUBE: [u8; 6] = [0, 95, 135, 175, 215, 255];

/// The indexed colour from 16 to 255 that lies nearest.
#[must_use]
pub fn nearest_indexed((r, g, b): (u8, u8, u8)) -> u8 {
    let dist = |x: (u8, u8, u8)| {
        let d = |a: u8, b: u8| (i32::from(a) - i32::from(b)).pow(2);
        // Weights after the eye: green tells most, blue least.
        3 * d(x.0, r) + 6 * d(x.1, g) + d(x.2, b)
    };
    let step = |v: u8| {
        let near = |i: &usize| CUBE.get(*i).map_or(u8::MAX, |l| l.abs_diff(v));
        (0..CUBE.len()).min_by_key(near).unwrap_or(0)
    };
    let level = |i: usize| CUBE.get(i).copied().unwrap_or(0);
    let (cr, cg, cb) = (step(r), step(g), step(b));
    let cube = (16 + 36 * cr + 6 * cg + cb, dist((level(cr), level(cg), level(cb))));
    let grey = (0..24usize)
        .map(|i| {
            let v = (8 + 10 * i) as u8;
            (232 + i, dist((v, v, v)))
        })
        .min_by_key(|g| g.1)
        .unwrap_or(cube);
    let best = if grey.1 < cube.1 { grey.0 } else { cube.0 };
    u8::try_from(best).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contrast_has_its_known_ends() {
        assert!((contrast_ratio((0, 0, 0), (255, 255, 255)) - 21.0).abs() < 0.01);
        assert!((contrast_ratio((9, 9, 9), (9, 9, 9)) - 1.0).abs() < f64::EPSILON);
        // The value that WebAIM's checker gives for grey on white.
        assert!((contrast_ratio((0x76, 0x76, 0x76), (255, 255, 255)) - 4.54).abs() < 0.01);
    }

    #[test]
    fn nearest_is_exact_where_it_can_be() {
        assert_eq!(nearest_indexed((0, 0, 0)), 16);
        assert_eq!(nearest_indexed((255, 255, 255)), 231);
        assert_eq!(nearest_indexed((95, 135, 175)), 67);
        assert_eq!(nearest_indexed((8, 8, 8)), 232);
        assert_eq!(nearest_indexed((0xee, 0xee, 0xee)), 255);
    }

    #[test]
    fn colours_read() {
        assert_eq!(hex("#1e1e2e"), Some((0x1e, 0x1e, 0x2e)));
        assert_eq!(hex("#fa0"), Some((0xff, 0xaa, 0)));
        for bad in ["1e1e2e", "#12345", "#xyzxyz", "#", "#+12345"] {
            assert_eq!(hex(bad), None, "{bad}");
        }
        assert_eq!(ansi("bright-black"), Some(Color::indexed(8)));
        assert_eq!(ansi("default"), Some(Color::DEFAULT));
        assert_eq!(ansi("purple"), None);
    }
}
