//! keys (skeleton)
use qd_tty::KeyEvent;

/// The state of xterm's modifyOtherKeys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ModifyOtherKeys {
    /// Off.
    #[default]
    Off,
    /// Level 1: keys without a usual meaning.
    Some,
    /// Level 2: all modified keys.
    All,
}

/// What decides how keys are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyModes {
    /// Cursor keys send `ESC O` (DECCKM).
    pub app_cursor: bool,
    /// The keypad sends its application codes (DECKPAM).
    pub app_keypad: bool,
    /// Backspace sends 0x08 (DECBKM).
    pub backarrow: bool,
    /// Enter sends CR LF (LNM).
    pub newline: bool,
    /// xterm's modifyOtherKeys.
    pub modify_other: ModifyOtherKeys,
    /// The kitty keyboard protocol's flags, 0 where it is off.
    pub kitty: u8,
}

/// Appends what `key` sends under `modes` to `out`; nothing for keys that send nothing.
pub fn encode_key(_key: &KeyEvent, _modes: &KeyModes, _out: &mut Vec<u8>) {}
