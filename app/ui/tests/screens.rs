//! Golden screens: what each widget looks like at three sizes, in ASCII, and without colour (where the modifiers of each
//! row are written below it).

#![allow(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

mod scenes;

use qd_frame::{ColorDepth, Frame};
use qd_tty::{Attrs, Underline};
use qd_ui::{Glyphs, Look, Theme};
use scenes::{SCENES, SIZES};

fn look(depth: ColorDepth, glyphs: Glyphs) -> Look {
    Look::new(&Theme::builtin("catppuccin-mocha").unwrap(), depth, glyphs)
}

/// The screen's text between rulers, with the cursor's place.
fn shown(frame: &Frame) -> String {
    let rule = "=".repeat(frame.size().cols.into());
    let cursor = frame
        .cursor()
        .map_or("no cursor".into(), |(x, y, _)| format!("cursor {x},{y}"));
    format!("{rule}\n{}{rule}\n{cursor}\n", frame.to_text())
}

/// The text with the modifiers of each row below it: b bold, d dim, r reverse, u underline, s strike.
fn modifiers(frame: &Frame) -> String {
    let mut out = String::new();
    for y in 0..frame.size().rows {
        out.push_str(&frame.text(y));
        out.push('\n');
        let marks: String = frame
            .row(y)
            .iter()
            .map(|c| match c.attrs {
                a if a.contains(Attrs::REVERSE) => 'r',
                a if a.underline() != Underline::None => 'u',
                a if a.contains(Attrs::STRIKE) => 's',
                a if a.contains(Attrs::BOLD) => 'b',
                a if a.contains(Attrs::DIM) => 'd',
                _ => ' ',
            })
            .collect();
        if !marks.trim().is_empty() {
            out.push_str(marks.trim_end());
            out.push('\n');
        }
    }
    out
}

#[test]
fn every_widget_at_three_sizes() {
    let look = look(ColorDepth::True, Glyphs::Unicode);
    for (name, draw) in SCENES {
        for size in SIZES {
            let mut frame = Frame::new(size);
            draw(&mut frame, &look);
            insta::assert_snapshot!(format!("{name}_{}x{}", size.cols, size.rows), shown(&frame));
        }
    }
}

#[test]
fn every_widget_in_ascii() {
    let look = look(ColorDepth::Ansi16, Glyphs::Ascii);
    for (name, draw) in SCENES {
        let mut frame = Frame::new(SIZES[0]);
        draw(&mut frame, &look);
        let text = shown(&frame);
        assert!(text.is_ascii(), "{name}:\n{text}");
        insta::assert_snapshot!(format!("{name}_ascii"), text);
    }
}

#[test]
fn every_widget_without_colour() {
    let look = look(ColorDepth::Mono, Glyphs::Unicode);
    for (name, draw) in SCENES {
        let mut frame = Frame::new(SIZES[0]);
        draw(&mut frame, &look);
        for y in 0..SIZES[0].rows {
            let plain = frame
                .row(y)
                .iter()
                .all(|c| c.fg.is_default() && c.bg.is_default() && c.ul.is_default());
            assert!(plain, "{name} row {y} has a colour");
        }
        insta::assert_snapshot!(format!("{name}_mono"), modifiers(&frame));
    }
}
