//! The keymap as data: for each mode, which chord runs which actions, in the order of the file it came from. It owns the
//! bindings and the leader, and knows nothing of when a mode is entered or left; that is [`crate::Model::key`].

use std::collections::VecDeque;

use qd_tty::Chord;

use crate::{action::Action, mode::Mode};

/// What a chord does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The actions, run in order.
    pub actions: Vec<Action>,
    /// A word or two for the hint bar.
    pub label: String,
}

/// All bindings and the leader.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keymap {
    leader: Option<Chord>,
    modes: [Vec<(Chord, Binding)>; Mode::ALL.len()],
}

impl Keymap {
    /// An empty keymap with this leader; `None` has no leader at all.
    #[must_use]
    pub fn new(leader: Option<Chord>) -> Self {
        Self {
            leader,
            modes: Default::default(),
        }
    }

    /// The leader.
    #[must_use]
    pub const fn leader(&self) -> Option<Chord> {
        self.leader
    }

    /// Sets the leader.
    pub fn set_leader(&mut self, leader: Option<Chord>) {
        self.leader = leader;
    }

    fn list(&self, mode: Mode) -> &[(Chord, Binding)] {
        self.modes.get(mode as usize).map_or(&[], Vec::as_slice)
    }

    fn list_mut(&mut self, mode: Mode) -> &mut Vec<(Chord, Binding)> {
        // `Mode` has as many values as the array has places, so the modulus changes nothing.
        &mut self.modes[mode as usize % Mode::ALL.len()]
    }

    /// Binds a chord in a mode and gives back what it did before; a chord that was bound keeps its place in the order.
    pub fn bind(&mut self, mode: Mode, chord: Chord, binding: Binding) -> Option<Binding> {
        let list = self.list_mut(mode);
        match list.iter_mut().find(|(c, _)| *c == chord) {
            Some((_, old)) => Some(std::mem::replace(old, binding)),
            None => {
                list.push((chord, binding));
                None
            }
        }
    }

    /// Takes a chord's binding away and gives it back.
    pub fn unbind(&mut self, mode: Mode, chord: &Chord) -> Option<Binding> {
        let list = self.list_mut(mode);
        let at = list.iter().position(|(c, _)| c == chord)?;
        Some(list.remove(at).1)
    }

    /// Takes every binding of a mode away.
    pub fn clear(&mut self, mode: Mode) {
        self.list_mut(mode).clear();
    }

    /// What a chord does in a mode.
    #[must_use]
    pub fn get(&self, mode: Mode, chord: &Chord) -> Option<&Binding> {
        self.list(mode).iter().find(|(c, _)| c == chord).map(|(_, b)| b)
    }

    /// The bindings of a mode, in order.
    pub fn bindings(&self, mode: Mode) -> impl Iterator<Item = (&Chord, &Binding)> {
        self.list(mode).iter().map(|(c, b)| (c, b))
    }

    fn find(&self, wanted: impl Fn(&Action) -> bool) -> Vec<(Mode, Chord)> {
        let does = |b: &Binding| {
            // A binding that does something and then switches the mode is known by what it does.
            let mut main = b.actions.iter().filter(|a| !matches!(a, Action::SwitchMode(_)));
            match (main.next(), main.next()) {
                (Some(a), None) => wanted(a),
                (None, _) => b.actions.first().is_some_and(&wanted),
                _ => false,
            }
        };
        let in_mode = |m: Mode| self.bindings(m).filter(|(_, b)| does(b)).map(move |(c, _)| (m, *c));
        Mode::ALL.into_iter().flat_map(in_mode).collect()
    }

    /// Where an action is bound, alone or with a switch of the mode.
    #[must_use]
    pub fn keys_for(&self, action: &Action) -> Vec<(Mode, Chord)> {
        self.find(|a| a == action)
    }

    /// Where an action of this name is bound, whatever its arguments.
    #[must_use]
    pub fn chords_for_name(&self, name: &str) -> Vec<(Mode, Chord)> {
        self.find(|a| a.name() == name)
    }

    /// The shortest row of chords that leads from [`Mode::Raw`] into a mode; `None` when none does.
    #[must_use]
    pub fn route(&self, mode: Mode) -> Option<Vec<Chord>> {
        let mut seen = vec![Mode::Raw];
        let mut queue = VecDeque::from([(Mode::Raw, Vec::new())]);
        while let Some((at, path)) = queue.pop_front() {
            if at == mode {
                return Some(path);
            }
            let leader = self.leader.filter(|_| at == Mode::Raw).map(|c| (c, Mode::Leader));
            let switches = self.bindings(at).filter_map(|(c, b)| match b.actions.as_slice() {
                [Action::SwitchMode(m)] => Some((*c, *m)),
                _ => None,
            });
            for (chord, next) in leader.into_iter().chain(switches) {
                if !seen.contains(&next) {
                    seen.push(next);
                    queue.push_back((next, path.iter().copied().chain([chord]).collect()));
                }
            }
        }
        None
    }
}
