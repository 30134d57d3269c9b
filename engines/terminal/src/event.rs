//! What an emulator tells besides its cells: events for the session, and the modes a program has set.

use std::path::PathBuf;

use qd_tty::CursorShape;

/// A 24-bit colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Rgb {
    /// Red.
    pub r: u8,
    /// Green.
    pub g: u8,
    /// Blue.
    pub b: u8,
}

impl Rgb {
    /// A colour of these parts.
    #[must_use]
    pub const fn new(r: u8, g: u8, b: u8) -> Self {
        Self { r, g, b }
    }
}

/// Whether the surroundings are dark or light (mode 2031, `CSI ? 996 n`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scheme {
    /// Light text on a dark ground.
    #[default]
    Dark,
    /// Dark text on a light ground.
    Light,
}

/// The colours a pane reports when a program asks (OSC 4, 10, 11, 12).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Palette {
    /// The default foreground.
    pub foreground: Rgb,
    /// The default background.
    pub background: Rgb,
    /// The cursor.
    pub cursor: Rgb,
    /// The sixteen ANSI colours; 16 to 255 are the usual cube and greys.
    pub ansi: [Rgb; 16],
    /// Dark or light.
    pub scheme: Scheme,
}

impl Default for Palette {
    fn default() -> Self {
        const fn c(v: u32) -> Rgb {
            Rgb::new((v >> 16) as u8, (v >> 8) as u8, v as u8)
        }
        Self {
            foreground: c(0xe5e5e5),
            background: c(0x000000),
            cursor: c(0xe5e5e5),
            ansi: [
                c(0x000000),
                c(0xcd0000),
                c(0x00cd00),
                c(0xcdcd00),
                c(0x0000ee),
                c(0xcd00cd),
                c(0x00cdcd),
                c(0xe5e5e5),
                c(0x7f7f7f),
                c(0xff0000),
                c(0x00ff00),
                c(0xffff00),
                c(0x5c5cff),
                c(0xff00ff),
                c(0x00ffff),
                c(0xffffff),
            ],
            scheme: Scheme::Dark,
        }
    }
}

/// Progress of a long job (OSC 9;4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// None to show.
    Clear,
    /// This many percent are done.
    Percent(u8),
    /// It failed, at this many percent where known.
    Error(Option<u8>),
    /// Under way, no percentage known.
    Indeterminate,
    /// Paused, at this many percent where known.
    Paused(Option<u8>),
}

/// Something the program asked of its terminal that is not a matter of cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VtEvent {
    /// The window title (OSC 0, 2); empty when reset. Control characters are stripped, at most 256 characters.
    Title(String),
    /// The bell rang (several rings between two calls are one event).
    Bell,
    /// Put this in the clipboard (OSC 52).
    Clipboard(Vec<u8>),
    /// The program wants to read the clipboard (OSC 52 `?`). Answer with [`crate::Vt::answer_clipboard`], or not at all.
    ClipboardQuery,
    /// The shell's directory (OSC 7, or OSC 9;9).
    Cwd(PathBuf),
    /// A notification (OSC 9, 99, 777).
    Notify {
        /// Its title; may be empty.
        title: String,
        /// Its text.
        body: String,
    },
    /// A prompt begins (OSC 133;A).
    PromptStart,
    /// The prompt is over, the command line begins (OSC 133;B).
    InputStart,
    /// The command runs (OSC 133;C).
    CommandStart,
    /// The command is over (OSC 133;D).
    CommandEnd {
        /// Its exit status, where the shell told.
        exit: Option<i32>,
    },
    /// Progress of a long job (OSC 9;4).
    Progress(Progress),
    /// The program changed the cursor's shape (DECSCUSR).
    CursorShape(CursorShape),
    /// The alternate screen was entered or left; see [`Modes::alt_screen`].
    ScreenSwitched,
}

/// What the program wants to hear of the mouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MouseWant {
    /// Nothing.
    #[default]
    Nothing,
    /// Presses only (X10, mode 9).
    Press,
    /// Presses and releases (mode 1000).
    Click,
    /// Also motion with a button held (mode 1002).
    Drag,
    /// All motion (mode 1003).
    Motion,
}

/// How mouse events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MouseEncoding {
    /// Three bytes (up to column and row 223).
    #[default]
    X10,
    /// UTF-8 coordinates (mode 1005).
    Utf8,
    /// SGR (mode 1006).
    Sgr,
    /// Decimal (mode 1015).
    Urxvt,
}

/// The modes a session cares about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Modes {
    /// The alternate screen is shown.
    pub alt_screen: bool,
    /// Cursor keys send `ESC O`.
    pub app_cursor: bool,
    /// The keypad sends its application codes.
    pub app_keypad: bool,
    /// Pastes are bracketed (2004).
    pub bracketed_paste: bool,
    /// Focus changes are reported (1004).
    pub focus_events: bool,
    /// The wheel sends arrows on the alternate screen (1007).
    pub alternate_scroll: bool,
    /// Changes between dark and light are reported (2031).
    pub scheme_events: bool,
    /// Reverse video of the whole screen (DECSCNM).
    pub reverse_screen: bool,
    /// What of the mouse is wanted.
    pub mouse: MouseWant,
    /// How mouse events are written.
    pub mouse_encoding: MouseEncoding,
}
