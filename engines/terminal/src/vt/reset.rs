//! The two resets: DECSTR, which leaves the text, and RIS, which leaves nothing but sizes, budgets and the palette.

use alacritty_terminal::vte::ansi::{Attr, CharsetIndex, Handler, NamedPrivateMode, PrivateMode, StandardCharset};

use super::{
    core::{Core, MoreModes, Sync},
    grid::Tabs,
};
use crate::{ModifyOtherKeys, VtEvent};

impl Core {
    /// DECSTR.
    pub(super) fn soft_reset(&mut self) {
        for (mode, on) in [(25, true), (6, false), (7, true), (1, false)] {
            if mode == 6 {
                self.term
                    .unset_private_mode(PrivateMode::Named(NamedPrivateMode::Origin));
            } else {
                self.forward_private(mode, on);
            }
        }
        self.set_mode(4, false);
        self.term.unset_keypad_application_mode();
        let at = self.term.grid().cursor.point;
        self.region = 0..self.dims.rows;
        self.term.set_scrolling_region(1, None);
        self.term.terminal_attribute(Attr::Reset);
        self.term.set_hyperlink(None);
        for g in [CharsetIndex::G0, CharsetIndex::G1, CharsetIndex::G2, CharsetIndex::G3] {
            self.term.configure_charset(g, StandardCharset::Ascii);
        }
        self.set_charset(CharsetIndex::G0);
        let grid = self.term.grid_mut();
        grid.saved_cursor = Default::default();
        grid.cursor.point = at;
        self.more.modify_other = ModifyOtherKeys::Off;
        self.more.backarrow = false;
    }

    /// RIS.
    pub(super) fn full_reset(&mut self) {
        self.clear_history();
        let was_alt = self.alt();
        self.term.reset_state();
        self.region = 0..self.dims.rows;
        self.charset = CharsetIndex::G0;
        self.tabs = Tabs::new(self.dims.cols);
        self.alt_used = false;
        self.last_char = None;
        self.more = MoreModes::default();
        self.kitty = [Vec::new(), Vec::new()];
        self.sync = Sync::Closed;
        self.titles.clear();
        self.colors.clear();
        self.notes.clear();
        self.prompts.clear();
        self.touched = true;
        self.widths.clear();
        self.cursor_style(0);
        if was_alt {
            self.event(VtEvent::ScreenSwitched);
        }
    }
}
