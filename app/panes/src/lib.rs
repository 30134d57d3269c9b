//! One module a pane kind: what a pane shows and what it answers. A pane is a screen with no logic of its own: the work
//! is done by an engine, and the place on the screen, the keymap and the modes belong to the multiplexer.

mod copy;
mod engine;
#[cfg(feature = "logs")]
mod logs;
mod moment;
#[cfg(feature = "logs")]
mod pipeline;
mod proxy;
mod search;
mod terminal;

use std::{os::fd::BorrowedFd, path::PathBuf, sync::Arc, time::Instant};

use qd_frame::Frame;
use qd_mux::{Action, Mode, PaneId};
use qd_search_live::Source;
use qd_tty::{CursorShape, InputEvent, Rect, Size};
use qd_ui::Look;

pub use copy::{CopyMode, copied_words};
pub use engine::{Console, Factories, IdlePane, Page, Surroundings, TestKinds, panic_message, put_wrapped};
pub use search::SearchPane;
pub use terminal::{CopyOnSelect, Keeper, SearchDirection, TerminalOptions, TerminalPane, process_cwd};

/// What a pane asks of the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaneEvent {
    /// The title changed.
    Title(String),
    /// The bell rang.
    Bell,
    /// A program put text on the clipboard (OSC 52).
    Clipboard(Vec<u8>),
    /// A program asks what is on the clipboard (OSC 52).
    ClipboardQuery,
    /// A program wants to notify the person.
    Notify {
        /// The heading; may be empty.
        title: String,
        /// The text.
        body: String,
    },
    /// The working directory changed.
    Cwd(PathBuf),
    /// The pane's process or engine ended; in words.
    Exited(String),
    /// Copy mode ended by itself (a yank), with what was copied.
    Copied(String),
    /// Something is to be done as if a person had asked for it: a pane opened with an editor or a shell.
    Do(Box<Action>),
    /// A line of another pane is to be seen.
    Go {
        /// The pane.
        pane: PaneId,
        /// Which of the things it shows, as its source names them.
        part: u32,
        /// The line's number there.
        line: u64,
    },
    /// Text for a shell, before whose prompt it is put as if it was pasted; Enter is the person's.
    ToShell(String),
    /// Copy mode asks for a search text.
    SearchPrompt {
        /// Whether the search runs towards older lines.
        back: bool,
    },
}

/// Why a pane refuses an action, in one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// Whether the pane has the session's focus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Focus {
    /// It has.
    Focused,
    /// It has not.
    Unfocused,
}

/// Where the cursor stands on the screen, and its shape.
pub type Cursor = Option<(u16, u16, CursorShape)>;

/// What every pane does. Every call may be wrapped in `catch_unwind` by the session: a panic is that pane's crash only.
pub trait Pane {
    /// The pane's kind, as layouts name it.
    fn kind(&self) -> &str;

    /// Draws into `area` of `frame`; says where the cursor stands, when the pane is focused.
    fn draw(&mut self, frame: &mut Frame, area: Rect, look: &Look, focus: Focus) -> Cursor;

    /// The pane's inside has this size now.
    fn resize(&mut self, size: Size);

    /// Input for the pane; mouse places are relative to its inside. Answers whether it was used.
    fn input(&mut self, event: &InputEvent) -> bool;

    /// An action that is the pane's business (scroll, copy, clear, write, …).
    ///
    /// # Errors
    /// One sentence, when it cannot be done here.
    fn act(&mut self, action: &Action) -> Result<(), Refused>;

    /// Brings a line into view and puts the cursor there. `part` says of which of the things that it shows, as its
    /// [`Pane::source`] does; without it, of the one that is selected.
    ///
    /// # Errors
    /// One sentence, when there is no such line.
    fn go_to(&mut self, _part: Option<u32>, _line: u64) -> Result<(), Refused> {
        Err(Refused("this pane has no lines to go to".to_owned()))
    }

    /// What of it can be searched, as it is now. The ids of its haystacks begin with the pane's number and that of the part,
    /// four bytes each.
    fn source(&mut self, _id: PaneId, _title: &str) -> Option<Arc<dyn Source>> {
        None
    }

    /// Text for the right end of the frame's top edge: scroll place, exit status and what to press.
    fn status(&self) -> String;

    /// What is to be said to the session since the last call.
    fn events(&mut self) -> Vec<PaneEvent>;

    /// Starts the pane's process or engine again.
    ///
    /// # Errors
    /// One sentence, when it cannot be started.
    fn restart(&mut self) -> Result<(), Refused>;

    /// Whether its process or engine has ended.
    fn is_dead(&self) -> bool;

    /// The visible text, one line a row.
    fn screen_text(&self) -> String;

    /// The whole text, with scrollback.
    fn full_text(&self) -> String {
        self.screen_text()
    }

    /// The mode that the keys are in while the pane has the focus: [`Mode::Nav`] for views of our own.
    fn home(&self) -> Mode {
        Mode::Raw
    }

    /// Whether a prompt of the pane's own takes what is typed now.
    fn prompts(&self) -> bool {
        false
    }

    /// Keys for the hint bar with what they do, the most useful first; for views of our own.
    fn hints(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// When it is to be drawn again though nothing wakes the session: what it shows was left behind on purpose, or changes
    /// with the clock. Asked after every drawing, while the pane is seen.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// The terminal inside, where the pane is one.
    fn terminal(&mut self) -> Option<&mut TerminalPane> {
        None
    }

    /// The descriptor to watch for output, where there is one.
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// The process, where there is one.
    fn pid(&self) -> Option<u32> {
        None
    }

    /// Whether something is selected in it.
    fn has_selection(&self) -> bool {
        false
    }

    /// Whether it is scrolled away from its newest line.
    fn is_scrolled(&self) -> bool {
        false
    }

    /// Where the view stands in its history.
    fn scroll(&self) -> Option<qd_ui::pane_frame::Scroll> {
        None
    }
}

/// The beginning of the id of what can be searched in a pane.
pub(crate) fn part_id(pane: PaneId, part: u32) -> Vec<u8> {
    [pane.0.to_be_bytes(), part.to_be_bytes()].concat()
}
