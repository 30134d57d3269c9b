//! How few bytes a change costs.

use qd_frame::{Caps, ColorDepth, Frame, Painter, Style};
use qd_tty::{Cell, Color, CursorShape, Rect, Size, Sym};

struct Scene {
    frame: Frame,
    painter: Painter,
    out: Vec<u8>,
}

impl Scene {
    fn new(caps: Caps) -> Self {
        let mut frame = Frame::new(Size::new(200, 60));
        let bar = Style {
            bg: Color::rgb(30, 30, 46),
            fg: Color::rgb(200, 200, 210),
            ..Style::default()
        };
        frame.fill(Rect::new(0, 59, 200, 1), bar.cell(Sym::SPACE));
        frame.put_str(1, 59, 198, "RAW  Ctrl-Space menu", bar);
        for y in 1..58 {
            frame.put_str(
                0,
                y,
                200,
                &format!("│ line {y:>4} {}", "lorem ipsum ".repeat(usize::from(y) % 5)),
                Style::default(),
            );
            frame.put_str(199, y, 1, "│", Style::default());
        }
        frame.set_cursor(Some((20, 40, CursorShape::Default)));
        let mut s = Self {
            frame,
            painter: Painter::new(caps),
            out: Vec::new(),
        };
        s.paint();
        s
    }

    fn paint(&mut self) -> String {
        self.out.clear();
        let any = self.painter.paint(&self.frame, &mut self.out);
        assert_eq!(any, !self.out.is_empty());
        String::from_utf8_lossy(&self.out).into_owned()
    }

    fn echo(&mut self, x: u16, c: &str) -> String {
        self.frame.put_str(x, 40, 2, c, Style::default());
        self.frame.set_cursor(Some((x + 1, 40, CursorShape::Default)));
        self.paint()
    }
}

fn full() -> Caps {
    Caps {
        depth: ColorDepth::True,
        sync: true,
        styled_underline: true,
        hyperlinks: true,
        bce: true,
        ..Caps::default()
    }
}

#[test]
fn a_typed_character_is_one_byte() {
    let mut s = Scene::new(full());
    assert_eq!(s.paint(), "", "an unchanged frame costs nothing");
    let first = s.echo(20, "l");
    assert!(first.len() <= 20, "{first:?}");
    assert_eq!(s.echo(21, "s"), "s");
    assert_eq!(s.echo(22, "é"), "é");
    // Backspace.
    s.frame.put_str(22, 40, 1, " ", Style::default());
    s.frame.set_cursor(Some((22, 40, CursorShape::Default)));
    assert_eq!(s.paint(), "\x08 \x08");
    // Enter: the cursor goes to the start of the next line.
    s.frame.set_cursor(Some((0, 41, CursorShape::Default)));
    assert_eq!(s.paint(), "\x1b[B\r");
    s.frame.set_cursor(None);
    assert_eq!(s.paint(), "\x1b[?25l");
    s.frame.set_cursor(Some((0, 41, CursorShape::SteadyBar)));
    assert_eq!(s.paint(), "\x1b[6 q\x1b[?25h");
}

#[test]
fn gaps_are_rewritten_and_ends_erased() {
    let mut f = Frame::new(Size::new(80, 4));
    f.put_str(0, 1, 80, "one two three four", Style::default());
    let mut p = Painter::new(Caps::default());
    let mut out = Vec::new();
    p.paint(&f, &mut out);
    assert!(out.len() < 60, "{:?}", String::from_utf8_lossy(&out));
    f.put_str(0, 1, 80, "1ne 2wo three four", Style::default());
    out.clear();
    p.paint(&f, &mut out);
    assert_eq!(String::from_utf8_lossy(&out), "\x1b[A1ne 2");
    f.put_str(3, 1, 80, "               ", Style::default());
    out.clear();
    p.paint(&f, &mut out);
    assert_eq!(String::from_utf8_lossy(&out), "\x08\x1b[K");
    let red = Style {
        bg: Color::indexed(1),
        ..Style::default()
    }
    .cell(Sym::SPACE);
    f.fill(Rect::new(0, 2, 80, 1), red);
    out.clear();
    p.paint(&f, &mut out);
    assert!(out.len() > 80, "without bce the background is written out");
    let mut q = Painter::new(Caps {
        bce: true,
        ..Caps::default()
    });
    q.paint(&Frame::new(Size::new(80, 4)), &mut out);
    let mut g = Frame::new(Size::new(80, 4));
    g.fill(Rect::new(0, 2, 80, 1), red);
    out.clear();
    q.paint(&g, &mut out);
    assert!(out.len() < 20, "{:?}", String::from_utf8_lossy(&out));
}

#[test]
fn a_scrolled_pane_is_scrolled() {
    let mut s = Scene::new(full());
    let rows: Vec<Vec<Cell>> = (1..58).map(|y| s.frame.row(y).to_vec()).collect();
    for y in 1..57u16 {
        s.frame.row_mut(y).copy_from_slice(&rows[usize::from(y)]);
    }
    s.frame.put_str(0, 57, 200, "│ a new line", Style::default());
    let text = s.paint();
    assert!(text.contains("\x1b[2;58r\x1b[S\x1b[r"), "{text:?}");
    assert!(text.len() < 120, "{} {text:?}", text.len());
    assert!(
        text.starts_with("\x1b[?2026h") && text.ends_with("\x1b[?2026l"),
        "{text:?}"
    );
}
