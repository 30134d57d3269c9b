//! What stands in the place of the list for a while: the menu, the searches with a name, what could not be searched, the
//! keys.

use qd_search_live::keep::{Keep, Saved};
use qd_tty::{Key, KeyEvent, KeyKind, Mods};

use super::{SearchPane, keys::HELP};

/// What a panel is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// What can be done.
    Menu,
    /// Searches with a name.
    Saved(Vec<Saved>),
    /// What could not be searched.
    Faults,
    /// The keys.
    Help,
}

/// A list that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Panel {
    pub(super) content: Content,
    pub(super) at: usize,
}

/// What the menu offers, and the keys that do the same.
const MENU: &[(&str, &str)] = &[
    ("o", "open in an editor, or go there"),
    ("y p", "copy the path"),
    ("y l", "copy the line"),
    ("y n", "copy path:line:column"),
    ("y r", "copy the rg command that finds the same"),
    ("s p", "send the path to a shell, without Enter"),
    ("s t", "send the text to a shell, without Enter"),
    ("S", "a shell where the file is"),
    ("R", "replace what was found \u{2026}"),
    ("u", "take the last replacement back"),
    ("m", "give this search a name \u{2026}"),
    ("'", "searches with a name"),
    ("p", "the file around the line"),
    ("c", "lines of context"),
    ("X", "fold all files, or unfold them"),
    ("l", "what could not be searched"),
    ("r", "search again, everywhere"),
];

impl Panel {
    fn new(content: Content) -> Self {
        Self { content, at: 0 }
    }

    pub(super) fn menu() -> Self {
        Self::new(Content::Menu)
    }

    pub(super) fn saved(keep: &Keep) -> Self {
        Self::new(Content::Saved(keep.saved()))
    }

    pub(super) fn faults() -> Self {
        Self::new(Content::Faults)
    }

    pub(super) fn help() -> Self {
        Self::new(Content::Help)
    }

    /// Its title.
    pub(super) fn title(&self) -> &'static str {
        match self.content {
            Content::Menu => "actions",
            Content::Saved(_) => "searches with a name \u{b7} Enter searches, D forgets",
            Content::Faults => "what could not be searched",
            Content::Help => "keys",
        }
    }

    /// Its rows: what stands at the left, and the rest.
    pub(super) fn rows(&self, pane: &SearchPane) -> Vec<(String, String)> {
        let own = |list: &[(&str, &str)]| list.iter().map(|(k, d)| ((*k).to_owned(), (*d).to_owned())).collect();
        match &self.content {
            Content::Menu => own(MENU),
            Content::Help => own(HELP),
            Content::Saved(all) => all.iter().map(|s| (s.name.clone(), s.query.rg_command(None))).collect(),
            Content::Faults => {
                let v = pane.view();
                let mut rows: Vec<(String, String)> =
                    v.faults.iter().map(|f| (f.what.clone(), f.why.clone())).collect();
                let more = v.fault_count.saturating_sub(rows.len() as u64);
                if more > 0 {
                    rows.push((String::new(), format!("and {more} more")));
                }
                rows
            }
        }
    }
}

impl SearchPane {
    pub(super) fn scroll_panel(&mut self, by: i64) {
        let Some(panel) = &self.panel else { return };
        let last = panel.rows(self).len().saturating_sub(1);
        if let Some(panel) = &mut self.panel {
            let to = i64::try_from(panel.at).unwrap_or(0).saturating_add(by).max(0);
            panel.at = usize::try_from(to).unwrap_or(0).min(last);
        }
    }

    /// A key for the panel; answers whether it was one of its own.
    pub(super) fn panel_key(&mut self, k: &KeyEvent) -> bool {
        let Some(panel) = &self.panel else { return false };
        let (content, at) = (panel.content.clone(), panel.at);
        match (k.key, k.mods) {
            (Key::Esc | Key::Char('q'), _) => self.panel = None,
            (Key::Char('?'), _) if content == Content::Help => self.panel = None,
            (Key::Down | Key::Char('j'), m) if m.is_empty() => self.scroll_panel(1),
            (Key::Up | Key::Char('k'), m) if m.is_empty() => self.scroll_panel(-1),
            (Key::End | Key::Char('G'), _) => self.scroll_panel(i64::from(i32::MAX)),
            (Key::Home, _) => self.scroll_panel(i64::from(i32::MIN)),
            (Key::PageDown, _) => self.scroll_panel(10),
            (Key::PageUp, _) => self.scroll_panel(-10),
            (Key::Char('D'), _) => {
                if let Content::Saved(all) = &content
                    && let Some(s) = all.get(at)
                {
                    if let Err(e) = self.keep.forget(&s.name) {
                        self.say(format!("it could not be forgotten: {e}"), true);
                    }
                    self.panel = Some(Panel::saved(&self.keep));
                }
            }
            (Key::Enter, _) => {
                self.panel = None;
                match content {
                    Content::Saved(all) => {
                        if let Some(s) = all.into_iter().nth(at) {
                            self.take_query(s.query);
                        }
                    }
                    Content::Menu => {
                        if let Some((keys, _)) = MENU.get(at) {
                            self.press(keys);
                        }
                    }
                    Content::Faults | Content::Help => {}
                }
            }
            (Key::Char(c), m) if content == Content::Menu && !m.intersects(Mods::CTRL | Mods::ALT) => {
                // The menu's own letters.
                self.panel = None;
                if c == 'S' {
                    self.shell();
                } else {
                    return false;
                }
            }
            _ => return k.mods.is_empty() || matches!(k.key, Key::Tab),
        }
        true
    }

    /// Does what keys of the list do.
    fn press(&mut self, keys: &str) {
        if keys == "S" {
            self.shell();
            return;
        }
        self.region = super::Region::List;
        for c in keys.chars().filter(|c| *c != ' ') {
            self.key(&KeyEvent {
                kind: KeyKind::Press,
                ..KeyEvent::new(Key::Char(c), Mods::empty())
            });
        }
    }
}
