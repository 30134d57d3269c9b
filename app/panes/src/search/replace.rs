//! Replacing: what would change, line by line, each of which can be left out; then doing it, and taking it back.

use std::{collections::BTreeSet, sync::Arc};

use qd_search_live::{
    engine::{Command, Replace, View},
    replace::{Plan, Report},
};
use qd_tty::{Key, KeyEvent, Mods};
use qd_ui::edit::LineEdit;

use super::{Ask, SearchPane};

/// A plan that is looked at.
pub(super) struct Replacing {
    pub(super) plan: Arc<Plan>,
    /// The hunks that are left out.
    pub(super) off: BTreeSet<(u32, u32)>,
    /// The rows: a file's heading, or a hunk.
    pub(super) rows: Vec<(u32, Option<u32>)>,
    pub(super) at: usize,
    pub(super) top: usize,
}

impl Replacing {
    fn new(plan: Arc<Plan>) -> Self {
        let mut rows = Vec::with_capacity(plan.files.len() + plan.hunk_count());
        for (f, file) in (0u32..).zip(&plan.files) {
            rows.push((f, None));
            rows.extend((0u32..).zip(&file.hunks).map(|(h, _)| (f, Some(h))));
        }
        Self {
            plan,
            off: BTreeSet::new(),
            rows,
            at: 0,
            top: 0,
        }
    }

    /// How many hunks are wanted, in how many files.
    pub(super) fn wanted(&self) -> (usize, usize) {
        let on = |f: u32, h: u32| !self.off.contains(&(f, h));
        let per_file = (0u32..)
            .zip(&self.plan.files)
            .map(|(f, file)| (0u32..).zip(&file.hunks).filter(|(h, _)| on(f, *h)).count());
        per_file.fold((0, 0), |(n, files), m| (n + m, files + usize::from(m > 0)))
    }

    /// Leaves out what the cursor is at, or takes it in again.
    fn toggle(&mut self) {
        let Some((f, hunk)) = self.rows.get(self.at).copied() else {
            return;
        };
        match hunk {
            Some(h) => {
                if !self.off.remove(&(f, h)) {
                    self.off.insert((f, h));
                }
            }
            None => {
                let n = self.plan.files.get(f as usize).map_or(0, |x| x.hunks.len());
                let all: Vec<(u32, u32)> = (0..u32::try_from(n).unwrap_or(0)).map(|h| (f, h)).collect();
                let any_on = all.iter().any(|k| !self.off.contains(k));
                for k in all {
                    if any_on {
                        self.off.insert(k);
                    } else {
                        self.off.remove(&k);
                    }
                }
            }
        }
    }
}

fn files(n: usize) -> String {
    format!("{n} file{}", if n == 1 { "" } else { "s" })
}

/// What has become of it, in a line.
fn told(word: &str, r: &Report) -> String {
    let mut text = format!("{word} in {}", files(r.done.len()));
    if let Some((path, why)) = r.refused.first() {
        let more = match r.refused.len() {
            1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        text.push_str(&format!("; left as it is: {}{more}: {why}", path.display()));
    }
    text
}

impl SearchPane {
    pub(super) fn ask_template(&mut self) {
        if self.view().results.totals().lines == 0 {
            self.say("nothing was found that could be replaced", true);
            return;
        }
        self.typing = Some((Ask::Template, LineEdit::new("")));
    }

    /// Takes what the engine says of a replacement.
    pub(super) fn poll_replace(&mut self, v: &View) {
        match &v.replace {
            Replace::Off | Replace::Working(_) | Replace::Planned(_) => self.told = false,
            _ if std::mem::replace(&mut self.told, true) => return,
            _ => {}
        }
        match &v.replace {
            Replace::Off => return,
            Replace::Working(word) => {
                self.say(format!("{word} \u{2026}"), false);
                return;
            }
            Replace::Planned(plan) => {
                // The engine may still show a plan that was left.
                if self.planned.as_ref().is_none_or(|p| !Arc::ptr_eq(p, plan)) {
                    self.planned = Some(Arc::clone(plan));
                    if plan.hunk_count() == 0 {
                        self.say("nothing would change", false);
                        self.tell(Command::Leave);
                        return;
                    }
                    self.note = None;
                    self.replacing = Some(Replacing::new(Arc::clone(plan)));
                }
                return;
            }
            Replace::Refused(why) => {
                self.replacing = None;
                self.say(why.clone(), true);
            }
            Replace::Applied(r) => {
                self.replacing = None;
                self.say(
                    format!("{} \u{b7} u takes it back", told("replaced", r)),
                    !r.refused.is_empty(),
                );
            }
            Replace::Undone(r) => {
                self.replacing = None;
                self.say(told("taken back", r), !r.refused.is_empty());
            }
        }
        self.tell(Command::Leave);
        if !matches!(v.replace, Replace::Refused(_)) && !self.query.text.is_empty() {
            // The files are others now.
            self.tell(Command::Again);
        }
    }

    pub(super) fn scroll_plan(&mut self, by: i64) {
        if let Some(r) = &mut self.replacing {
            let to = i64::try_from(r.at).unwrap_or(0).saturating_add(by).max(0);
            r.at = usize::try_from(to).unwrap_or(0).min(r.rows.len().saturating_sub(1));
        }
    }

    pub(super) fn plan_key(&mut self, k: &KeyEvent) -> bool {
        let page = i64::from(self.height.max(2)) - 1;
        let ctrl = k.mods.contains(Mods::CTRL);
        match k.key {
            Key::Char('d') if ctrl => self.scroll_plan(page / 2),
            Key::Char('u') if ctrl => self.scroll_plan(-(page / 2)),
            _ if k.mods.intersects(Mods::CTRL | Mods::ALT) => return false,
            Key::Down | Key::Char('j') => self.scroll_plan(1),
            Key::Up | Key::Char('k') => self.scroll_plan(-1),
            Key::PageDown => self.scroll_plan(page),
            Key::PageUp => self.scroll_plan(-page),
            Key::Char('G') | Key::End => self.scroll_plan(i64::from(i32::MAX)),
            Key::Home => self.scroll_plan(i64::from(i32::MIN)),
            Key::Char(' ') => {
                if let Some(r) = &mut self.replacing {
                    r.toggle();
                }
                self.scroll_plan(1);
            }
            Key::Enter => {
                let wanted = self.replacing.as_ref().map(Replacing::wanted);
                if wanted.is_some_and(|(n, _)| n > 0) {
                    self.typing = Some((Ask::Sure, LineEdit::new("")));
                } else {
                    self.say("everything is left out", true);
                }
            }
            Key::Esc => {
                self.replacing = None;
                self.tell(Command::Leave);
                self.say("nothing was replaced", false);
            }
            _ => return false,
        }
        true
    }

    /// The question before it is done.
    pub(super) fn sure(&self) -> String {
        let (n, in_files) = self.replacing.as_ref().map_or((0, 0), Replacing::wanted);
        format!(
            "replace {n} line{} in {}? y n",
            if n == 1 { "" } else { "s" },
            files(in_files)
        )
    }

    pub(super) fn apply_plan(&mut self) {
        if let Some(r) = self.replacing.take() {
            self.tell(Command::Apply(r.off));
        }
    }
}
