//! The crate's tests, and what they share: a model from a line of words, and its screen drawn as letters.

use qd_tty::Size;

use crate::{Action, Effect, Frames, Invocation, LayoutSpec, Model, PaneSpec, Refusal, split_words};

mod actions;
mod keys;
mod layout;
mod model;
mod random;

/// A session with one shell.
fn session(cols: u16, rows: u16) -> Model {
    let mut m = Model::new("test", Size::new(cols, rows));
    m.open(&LayoutSpec::single(PaneSpec::default()));
    m.check().unwrap();
    m
}

/// The same without frames, so that small drawings have room.
fn bare(cols: u16, rows: u16) -> Model {
    let mut m = session(cols, rows);
    m.set_frames(Frames::Off);
    m
}

fn try_run(m: &mut Model, line: &str) -> Result<Vec<Effect>, Refusal> {
    let invocation = Invocation::parse(&split_words(line).unwrap()).unwrap();
    let done = m.apply(&invocation);
    m.check().unwrap();
    done
}

fn run(m: &mut Model, line: &str) -> Vec<Effect> {
    try_run(m, line).unwrap_or_else(|e| panic!("{line}: {e}"))
}

fn refused(m: &mut Model, line: &str) -> String {
    let before = format!("{m:?}");
    let sentence = try_run(m, line).expect_err(line).to_string();
    assert_eq!(format!("{m:?}"), before, "{line} was refused but changed something");
    sentence
}

fn parse(line: &str) -> Result<Action, String> {
    let words = split_words(line).map_err(|e| e.to_string())?;
    Invocation::parse(&words).map(|i| i.action).map_err(|e| e.to_string())
}

/// The outer rectangles of the active tab's panes as text: the pane's number (in base 36) in each of its cells.
fn draw(m: &Model) -> String {
    let area = m.area();
    let placements = m.placements();
    let mut out = String::new();
    for y in area.y..area.bottom() {
        for x in area.x..area.right() {
            let pane = placements
                .iter()
                .find(|p| p.outer.contains(x, y))
                .map_or(0, |p| p.pane.0);
            out.push(char::from_digit(pane, 36).unwrap_or('?'));
        }
        out.push('\n');
    }
    out
}
