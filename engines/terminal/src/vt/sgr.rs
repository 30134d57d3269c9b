//! Select graphic rendition: colours and attributes of the text to come. It owns nothing and never fails: what it does
//! not know it passes over.

use alacritty_terminal::vte::ansi::{Attr, Color, Handler, NamedColor, Rgb as VteRgb};

use super::{
    core::Core,
    parser::{Params, ParamsIter},
};

impl Core {
    pub(super) fn sgr(&mut self, p: &Params) {
        let mut it = p.iter();
        while let Some(param) = it.next() {
            if let Some(attr) = attribute(param, &mut it) {
                self.term.terminal_attribute(attr);
            }
        }
    }
}

/// One of the sixteen colours that have names.
pub(super) fn named(i: u16) -> Color {
    const NAMES: [NamedColor; 16] = [
        NamedColor::Black,
        NamedColor::Red,
        NamedColor::Green,
        NamedColor::Yellow,
        NamedColor::Blue,
        NamedColor::Magenta,
        NamedColor::Cyan,
        NamedColor::White,
        NamedColor::BrightBlack,
        NamedColor::BrightRed,
        NamedColor::BrightGreen,
        NamedColor::BrightYellow,
        NamedColor::BrightBlue,
        NamedColor::BrightMagenta,
        NamedColor::BrightCyan,
        NamedColor::BrightWhite,
    ];
    Color::Named(NAMES[usize::from(i) & 15])
}

fn attribute(param: &[u16], rest: &mut ParamsIter<'_>) -> Option<Attr> {
    Some(match param {
        [0] => Attr::Reset,
        [1] => Attr::Bold,
        [2] => Attr::Dim,
        [3] => Attr::Italic,
        [4, 0] | [24] => Attr::CancelUnderline,
        [4, 2] | [21] => Attr::DoubleUnderline,
        [4, 3] => Attr::Undercurl,
        [4, 4] => Attr::DottedUnderline,
        [4, 5] => Attr::DashedUnderline,
        [4, ..] => Attr::Underline,
        [7] => Attr::Reverse,
        [8] => Attr::Hidden,
        [9] => Attr::Strike,
        [22] => Attr::CancelBoldDim,
        [23] => Attr::CancelItalic,
        [27] => Attr::CancelReverse,
        [28] => Attr::CancelHidden,
        [29] => Attr::CancelStrike,
        [n @ 30..=37] => Attr::Foreground(named(n - 30)),
        [38, ..] => Attr::Foreground(extended(param, rest)?),
        [39] => Attr::Foreground(Color::Named(NamedColor::Foreground)),
        [n @ 40..=47] => Attr::Background(named(n - 40)),
        [48, ..] => Attr::Background(extended(param, rest)?),
        [49] => Attr::Background(Color::Named(NamedColor::Background)),
        [58, ..] => Attr::UnderlineColor(Some(extended(param, rest)?)),
        [59] => Attr::UnderlineColor(None),
        [n @ 90..=97] => Attr::Foreground(named(n - 90 + 8)),
        [n @ 100..=107] => Attr::Background(named(n - 100 + 8)),
        _ => return None,
    })
}

/// A colour after 38, 48 or 58: in sub-parameters, or in the parameters that follow.
fn extended(param: &[u16], rest: &mut ParamsIter<'_>) -> Option<Color> {
    let mut plain = rest.by_ref().map(|p| p[0]);
    let mut colon;
    let next: &mut dyn Iterator<Item = u16> = match param {
        [_] => &mut plain,
        // `38:2:space:r:g:b` has a colour space that means nothing here, `38:2:r:g:b` has none.
        [_, kind, args @ ..] => {
            let args = if *kind == 2 && args.len() > 3 { &args[1..] } else { args };
            colon = std::iter::once(*kind).chain(args.iter().copied());
            &mut colon
        }
        [] => return None,
    };
    let byte = |v: Option<u16>| v.and_then(|v| u8::try_from(v).ok());
    match next.next()? {
        2 => Some(Color::Spec(VteRgb {
            r: byte(next.next())?,
            g: byte(next.next())?,
            b: byte(next.next())?,
        })),
        5 => Some(Color::Indexed(byte(next.next())?)),
        _ => None,
    }
}
