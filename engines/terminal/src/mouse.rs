//! mouse (skeleton)
use qd_tty::MouseEvent;

use crate::{MouseEncoding, MouseWant};

/// Appends what `event` sends to `out`; false when the program does not want it.
pub fn encode_mouse(_event: &MouseEvent, _want: MouseWant, _enc: MouseEncoding, _out: &mut Vec<u8>) -> bool {
    false
}
