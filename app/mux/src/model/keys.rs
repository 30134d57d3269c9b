//! Keys through the modes: what a chord means now, and which mode comes after it. It changes the mode and nothing else;
//! the actions it finds are applied by the caller.

use qd_tty::{Chord, Key, Mods};

use super::{KeyOutcome, Model};
use crate::{
    action::{Action, CopyOp},
    keymap::Keymap,
    mode::Mode,
};

impl Model {
    /// Takes a chord through the modes.
    ///
    /// - In the base modes the leader opens the leader menu, bound chords run, and all others belong to the pane.
    /// - A menu runs one binding and is left; the leader in the leader menu sends itself; `Esc` leaves; a chord that is
    ///   not bound leaves and says so.
    /// - A sticky mode runs bindings until `Esc`, `Enter` or a binding leaves it, and swallows what is not bound.
    /// - The lock holds the leader back once; twice it opens, anything else sends both on.
    ///
    /// The mode may have changed afterwards; there is no effect for it, compare [`Model::mode`].
    pub fn key(&mut self, chord: &Chord, keymap: &Keymap) -> KeyOutcome {
        let is_leader = keymap.leader() == Some(*chord);
        let bound = || keymap.get(self.mode, chord).map(|b| b.actions.clone());
        match self.mode {
            Mode::Lock => self.locked_key(chord, keymap, is_leader),
            Mode::Raw | Mode::Nav | Mode::Input => match bound() {
                _ if is_leader => self.enter(Mode::Leader),
                Some(actions) => KeyOutcome::Run(actions),
                None => KeyOutcome::Forward,
            },
            Mode::Leader if is_leader => {
                self.set_mode(self.home());
                KeyOutcome::Run(vec![Action::SendLeader])
            }
            Mode::Leader | Mode::Window | Mode::Tab | Mode::New | Mode::Session => match bound() {
                Some(actions) => {
                    self.set_mode(self.home());
                    KeyOutcome::Run(actions)
                }
                None if is_leader => self.enter(Mode::Leader),
                None => {
                    self.set_mode(self.home());
                    if is(chord, Key::Esc) {
                        KeyOutcome::Swallow
                    } else {
                        KeyOutcome::Unbound
                    }
                }
            },
            Mode::Copy | Mode::Resize | Mode::Move => match bound() {
                Some(actions) => KeyOutcome::Run(actions),
                None if is_leader => self.enter(Mode::Leader),
                None if self.mode == Mode::Copy => {
                    if is(chord, Key::Esc) {
                        KeyOutcome::Run(vec![Action::Copy(CopyOp::Cancel)])
                    } else {
                        KeyOutcome::Swallow
                    }
                }
                None => {
                    if is(chord, Key::Esc) || is(chord, Key::Enter) {
                        self.set_mode(self.home());
                    }
                    KeyOutcome::Swallow
                }
            },
        }
    }

    fn enter(&mut self, mode: Mode) -> KeyOutcome {
        self.set_mode(mode);
        KeyOutcome::Swallow
    }

    fn locked_key(&mut self, chord: &Chord, keymap: &Keymap, is_leader: bool) -> KeyOutcome {
        let held = std::mem::take(&mut self.leader_held);
        match (is_leader, held) {
            (true, true) => self.enter(self.home()),
            (true, false) => {
                self.leader_held = true;
                KeyOutcome::Swallow
            }
            (false, _) => {
                let mut first = if held { vec![Action::SendLeader] } else { Vec::new() };
                match keymap.get(Mode::Lock, chord) {
                    Some(binding) => {
                        first.extend(binding.actions.iter().cloned());
                        KeyOutcome::Run(first)
                    }
                    None if held => KeyOutcome::RunThenForward(first),
                    None => KeyOutcome::Forward,
                }
            }
        }
    }

    /// The mode to go back to: the focused pane's own.
    #[must_use]
    pub fn home(&self) -> Mode {
        self.focused().and_then(|p| self.pane(p)).map_or(Mode::Raw, |p| p.home)
    }
}

fn is(chord: &Chord, key: Key) -> bool {
    *chord == Chord::new(key, Mods::empty())
}
