//! The last lines of a proxy pane: the prompt while something is typed, else a question, a word, or how things stand.

use qd_frame::Frame;
use qd_proxy_content::escape;
use qd_tty::{CursorShape, Rect};
use qd_ui::{Look, Role, fit};

use super::{ProxyPane, draw::count};
use crate::{Cursor, Focus};

impl ProxyPane {
    /// What is worth a line when nothing else is said.
    fn state_words(&self) -> (String, Role) {
        let s = self.snapshot();
        let (let_go, lost, bytes) = self.book.look(|k| (k.let_go, k.lost, k.flows.len()));
        if let Some(l) = s.listeners.iter().find(|l| l.tls_problem.is_some()) {
            let why = l.tls_problem.as_deref().unwrap_or_default();
            return (format!("{} keeps its old certificate: {why}", l.name), Role::TextWarn);
        }
        let open = s.endpoints.iter().filter(|e| e.breaker != "closed").count();
        let refused: u64 = s.listeners.iter().map(|l| l.refused).sum();
        let at: Vec<&str> = s.listeners.iter().map(|l| l.address.as_str()).collect();
        let mut parts = vec![format!(
            "{}: {} requests, {} connections",
            at.join(", "),
            count(s.totals.requests),
            count(s.connection_count as u64)
        )];
        let failed = s.totals.classes.get(5).copied().unwrap_or(0);
        if failed > 0 {
            parts.push(format!("{} answered 5xx", count(failed)));
        }
        if open > 0 {
            parts.push(format!("{open} of {} endpoints left alone", s.endpoints.len()));
        }
        if refused > 0 {
            parts.push(format!("{} connections refused", count(refused)));
        }
        if let_go > 0 {
            parts.push(format!("the last {} are kept", count(bytes as u64)));
        }
        if lost > 0 {
            parts.push(format!("{} passed unseen", count(lost)));
        }
        if !self.marks.is_empty() {
            parts.push(format!("{} marked", self.marks.len()));
        }
        let role = if open > 0 || lost > 0 {
            Role::TextWarn
        } else {
            Role::TextDim
        };
        (parts.join(" \u{b7} "), role)
    }

    pub(super) fn paint_bottom(&mut self, frame: &mut Frame, area: Rect, look: &Look, focus: Focus) -> Cursor {
        let y = area.bottom() - 1;
        if let Some(t) = &self.typing {
            if area.h > 7 {
                let offered = t.choices.get(t.choice).filter(|_| t.choices.len() > 1);
                let (words, role) = match (&t.wrong, offered) {
                    (Some(w), _) => (escape(w), Role::TextError),
                    (None, Some(c)) => (
                        escape(&format!(
                            "{} of {}: {}  {}",
                            t.choice + 1,
                            t.choices.len(),
                            c.label,
                            c.detail
                        )),
                        Role::TextInfo,
                    ),
                    (None, None) => (t.ask.help().to_owned(), Role::TextDim),
                };
                frame.put_str(
                    area.x + 1,
                    y - 1,
                    area.w.saturating_sub(1),
                    &look.text(&words),
                    look.style(role),
                );
            }
            let lead = frame.put_str(area.x, y, area.w, t.ask.lead(), look.style(Role::TextInfo));
            let (text, _, caret) = t.edit.view(usize::from(area.w.saturating_sub(lead + 1)));
            let text = escape(&text);
            frame.put_str(
                area.x + lead,
                y,
                area.w.saturating_sub(lead),
                &look.text(&text),
                look.style(Role::Text),
            );
            let x = area.x + lead + u16::try_from(caret).unwrap_or(0);
            return (focus == Focus::Focused).then_some((x, y, CursorShape::default()));
        }
        let (words, role) = match (&self.confirm, &self.note) {
            (Some((words, _)), _) => (format!("{words}  y yes, Esc no"), Role::TextWarn),
            (None, Some((words, true))) => (words.clone(), Role::TextError),
            (None, Some((words, false))) => (words.clone(), Role::TextOk),
            (None, None) => self.state_words(),
        };
        let words = escape(&words);
        let words = fit(&words, usize::from(area.w.saturating_sub(1)), look.marks().ellipsis);
        frame.put_str(
            area.x + 1,
            y,
            area.w.saturating_sub(1),
            &look.text(&words),
            look.style(role),
        );
        None
    }
}
