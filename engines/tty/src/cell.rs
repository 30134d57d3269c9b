//! Colours, attributes and cells.

use crate::{LinkId, Sym};

/// A colour as a terminal knows it, packed in 32 bits so that cells compare fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, bytemuck::NoUninit)]
#[repr(transparent)]
pub struct Color(u32);

impl Color {
    /// The terminal's own default foreground or background.
    pub const DEFAULT: Self = Self(0);

    /// One of the 256 indexed colours; 0–15 are the ANSI ones.
    #[must_use]
    pub const fn indexed(i: u8) -> Self {
        Self(0x0100_0000 | i as u32)
    }

    /// A 24-bit colour.
    #[must_use]
    pub const fn rgb(r: u8, g: u8, b: u8) -> Self {
        Self(0x0200_0000 | (r as u32) << 16 | (g as u32) << 8 | b as u32)
    }

    /// Whether it is the terminal's default.
    #[must_use]
    pub const fn is_default(self) -> bool {
        self.0 == 0
    }

    /// The index, of an indexed colour.
    #[must_use]
    pub const fn as_indexed(self) -> Option<u8> {
        if self.0 >> 24 == 1 { Some(self.0 as u8) } else { None }
    }

    /// Red, green and blue, of a 24-bit colour.
    #[must_use]
    pub const fn as_rgb(self) -> Option<(u8, u8, u8)> {
        if self.0 >> 24 == 2 {
            Some(((self.0 >> 16) as u8, (self.0 >> 8) as u8, self.0 as u8))
        } else {
            None
        }
    }
}

/// The kinds of underline (SGR 4:0 to 4:5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Underline {
    /// None.
    #[default]
    None,
    /// One straight line.
    Single,
    /// Two lines.
    Double,
    /// A wave.
    Curly,
    /// Dots.
    Dotted,
    /// Dashes.
    Dashed,
}

bitflags::bitflags! {
    /// The attributes of a cell.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, bytemuck::Pod, bytemuck::Zeroable)]
    #[repr(transparent)]
    pub struct Attrs: u16 {
        /// Bold (SGR 1).
        const BOLD = 1;
        /// Faint (SGR 2).
        const DIM = 1 << 1;
        /// Italic (SGR 3).
        const ITALIC = 1 << 2;
        /// Blinking (SGR 5).
        const BLINK = 1 << 3;
        /// Foreground and background swapped (SGR 7).
        const REVERSE = 1 << 4;
        /// Invisible (SGR 8).
        const HIDDEN = 1 << 5;
        /// Struck through (SGR 9).
        const STRIKE = 1 << 6;
        /// Overlined (SGR 53).
        const OVERLINE = 1 << 7;
        /// First bit of the underline kind (three bits; see [`Attrs::underline`]).
        const UL0 = 1 << 8;
        /// Second bit of the underline kind.
        const UL1 = 1 << 9;
        /// Third bit of the underline kind.
        const UL2 = 1 << 10;
        /// The cell's symbol is two columns wide; the next cell is its `WIDE_TAIL`.
        const WIDE = 1 << 11;
        /// The right half of a wide symbol: it has no symbol of its own.
        const WIDE_TAIL = 1 << 12;
        /// Terminals disagree about this symbol's width (variation selectors, joined emoji): after writing it the
        /// cursor's place must be set explicitly.
        const UNSURE_WIDTH = 1 << 13;
    }
}

impl Attrs {
    /// The bits that say how a symbol looks, without those that say how wide it is.
    pub const STYLE: Self = Self::from_bits_truncate(0x07ff);

    /// The underline kind.
    #[must_use]
    pub const fn underline(self) -> Underline {
        match self.bits() >> 8 & 7 {
            1 => Underline::Single,
            2 => Underline::Double,
            3 => Underline::Curly,
            4 => Underline::Dotted,
            5 => Underline::Dashed,
            _ => Underline::None,
        }
    }

    /// The same attributes with this kind of underline.
    #[must_use]
    pub const fn with_underline(self, u: Underline) -> Self {
        let n = match u {
            Underline::None => 0,
            Underline::Single => 1,
            Underline::Double => 2,
            Underline::Curly => 3,
            Underline::Dotted => 4,
            Underline::Dashed => 5,
        };
        Self::from_bits_truncate(self.bits() & !0x0700 | n << 8)
    }
}

/// One character cell: 20 bytes without padding, so that rows compare as memory ([`same_cells`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, bytemuck::NoUninit)]
#[repr(C)]
pub struct Cell {
    /// What stands in it.
    pub sym: Sym,
    /// Foreground.
    pub fg: Color,
    /// Background.
    pub bg: Color,
    /// Colour of the underline; default means the foreground's.
    pub ul: Color,
    /// Attributes and width.
    pub attrs: Attrs,
    /// Hyperlink.
    pub link: LinkId,
}

impl Cell {
    /// A blank in the default colours.
    pub const BLANK: Self = Self {
        sym: Sym::SPACE,
        fg: Color::DEFAULT,
        bg: Color::DEFAULT,
        ul: Color::DEFAULT,
        attrs: Attrs::empty(),
        link: LinkId::NONE,
    };
}

/// Whether two rows hold the same cells; several times faster than comparing them one by one.
#[must_use]
pub fn same_cells(a: &[Cell], b: &[Cell]) -> bool {
    bytemuck::must_cast_slice::<Cell, u8>(a) == bytemuck::must_cast_slice::<Cell, u8>(b)
}

impl Default for Cell {
    fn default() -> Self {
        Self::BLANK
    }
}

/// The shapes of a cursor (DECSCUSR).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
pub enum CursorShape {
    /// Whatever the outer terminal has (DECSCUSR 0).
    #[default]
    Default,
    /// A blinking block.
    BlinkingBlock,
    /// A steady block.
    SteadyBlock,
    /// A blinking underline.
    BlinkingUnderline,
    /// A steady underline.
    SteadyUnderline,
    /// A blinking bar.
    BlinkingBar,
    /// A steady bar.
    SteadyBar,
}

impl CursorShape {
    /// The number in `CSI n SP q`.
    #[must_use]
    pub const fn decscusr(self) -> u8 {
        self as u8
    }
}
