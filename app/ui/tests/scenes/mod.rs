//! The scenes that the golden screens and the property tests draw: each a widget in the midst of a session.

#![allow(dead_code, reason = "each test draws some of it")]

use qd_frame::{Frame, Style};
use qd_tty::{Chord, KeyEvent, Rect, Size};
use qd_ui::{
    Completion, Confirm, ConfirmKind, Feed, Level, Look, Multi, Overlay, PickItem, Picker, Prompt, Role, Toasts, Verb,
    Viewer, ViewerLine,
    bars::{Hint, HintBar, HintState, StatusItem, TabBar, TabItem},
    pane_frame::{FrameState, PaneFrame, Scroll, Tick},
};

/// The sizes of the golden screens.
pub(crate) const SIZES: [Size; 3] = [Size::new(80, 24), Size::new(40, 10), Size::new(200, 60)];

/// Draws a scene over the whole frame.
pub(crate) type Scene = fn(&mut Frame, &Look);

/// All scenes, by name.
pub(crate) const SCENES: &[(&str, Scene)] = &[
    ("session", session),
    ("session_leader", session_leader),
    ("many_tabs", many_tabs),
    ("palette", palette),
    ("palette_query", palette_query),
    ("picker_multi_preview", picker_multi_preview),
    ("picker_nothing", picker_nothing),
    ("picker_no_match", picker_no_match),
    ("picker_loading", picker_loading),
    ("picker_denied", picker_denied),
    ("picker_stale", picker_stale),
    ("prompt", prompt),
    ("prompt_error", prompt_error),
    ("help", help),
    ("help_filter", help_filter),
    ("confirm", confirm),
    ("confirm_name", confirm_name),
    ("toasts", toasts),
];

fn area(frame: &Frame) -> Rect {
    Rect::new(0, 0, frame.size().cols, frame.size().rows)
}

fn tab(index: usize, name: &str) -> TabItem {
    TabItem {
        index,
        name: name.into(),
        ..TabItem::default()
    }
}

fn status(text: &str, role: Role) -> StatusItem {
    StatusItem {
        text: text.into(),
        role,
    }
}

fn bars(frame: &mut Frame, look: &Look, mode: &str, hints: &[Hint]) {
    let all = area(frame);
    let mut tabs = [tab(1, "shell"), tab(2, "build"), tab(3, "logs"), tab(4, "db")];
    tabs[0].active = true;
    tabs[1].activity = true;
    tabs[2].bell = true;
    TabBar {
        session: "main",
        tabs: &tabs,
        right: "web-1",
    }
    .draw(frame, Rect { h: 1, ..all }, look);
    let right = [
        status("! 2 messages", Role::TextWarn),
        status("12 ms", Role::TextDim),
        status("12:03", Role::BarText),
    ];
    let bar = HintBar {
        mode,
        mode_role: Role::for_mode(mode),
        hints,
        right: &right,
    };
    bar.draw(frame, Rect::new(0, all.h.saturating_sub(1), all.w, 1), look);
}

fn raw_hints() -> Vec<Hint> {
    vec![
        Hint::new("Ctrl-Space", "commands", 0),
        Hint::new("Shift-PgUp", "scroll", 1),
    ]
}

fn leader_hints() -> Vec<Hint> {
    let mut hints: Vec<Hint> = [
        ("p", "palette"),
        ("n", "new pane"),
        ("w", "window"),
        ("t", "tab"),
        ("z", "zoom"),
        ("[", "copy"),
        ("d", "detach"),
        ("?", "all keys"),
    ]
    .iter()
    .enumerate()
    .map(|(i, (k, l))| Hint::new(*k, *l, i))
    .collect();
    hints[4].state = HintState::Disabled;
    hints
}

/// What a shell may have on its screen.
fn fill_text(frame: &mut Frame, r: Rect) {
    let lines = [
        "$ cargo build --release",
        "   Compiling harbour v0.3.1",
        "    Finished in 12.4s",
        "$ ",
    ];
    for (i, line) in (0u16..).zip(lines) {
        if i < r.h {
            frame.put_str(r.x, r.y + i, r.w, line, Style::default());
        }
    }
}

fn panes(frame: &mut Frame, look: &Look) {
    let all = area(frame);
    if all.h < 4 {
        return;
    }
    let body = Rect::new(0, 1, all.w, all.h - 2);
    let (left, half) = (body.w / 2, body.h / 2);
    let first = Rect { w: left, ..body };
    let second = Rect::new(left, 1, body.w - left, half);
    let third = Rect::new(left, 1 + half, body.w - left, body.h - half);
    for r in [first, second, third] {
        if !PaneFrame::is_compact(r) {
            fill_text(frame, r.shrink(1));
        }
    }
    let ticks = [
        Tick {
            line: 120,
            role: Role::ScrollbarTick,
        },
        Tick {
            line: 3_000,
            role: Role::TextError,
        },
    ];
    let scroll = Some(Scroll {
        top: 400,
        visible: 20,
        total: 4_587,
    });
    PaneFrame {
        title: "~/harbour",
        state: FrameState::Focused,
        ..PaneFrame::default()
    }
    .draw(frame, first, look);
    PaneFrame {
        title: "journal \u{25b8} api",
        state: FrameState::Alert,
        scroll,
        ticks: &ticks,
        right: "",
    }
    .draw(frame, second, look);
    let right = "exit 1 \u{b7} Enter reruns \u{b7} Ctrl-c closes";
    PaneFrame {
        title: "make test",
        right,
        state: FrameState::Dead,
        ..PaneFrame::default()
    }
    .draw(frame, third, look);
}

fn backdrop(frame: &mut Frame, look: &Look, overlay: &dyn Overlay) {
    panes(frame, look);
    let hints: Vec<Hint> = overlay
        .hints()
        .into_iter()
        .enumerate()
        .map(|(i, (key, label))| Hint::new(key, label, i))
        .collect();
    bars(frame, look, overlay.mode(), &hints);
}

fn over(frame: &mut Frame, look: &Look, overlay: &mut dyn Overlay) {
    backdrop(frame, look, overlay);
    overlay.draw(area(frame), frame, look);
}

pub(crate) fn press(o: &mut dyn Overlay, keys: &str) {
    for k in keys.split_whitespace() {
        let c: Chord = k.parse().unwrap();
        o.key(&KeyEvent::new(c.key, c.mods));
    }
}

fn session(frame: &mut Frame, look: &Look) {
    panes(frame, look);
    bars(frame, look, "RAW", &raw_hints());
}

fn session_leader(frame: &mut Frame, look: &Look) {
    panes(frame, look);
    bars(frame, look, "LEADER", &leader_hints());
}

fn many_tabs(frame: &mut Frame, look: &Look) {
    session(frame, look);
    let mut tabs: Vec<TabItem> = (1..=24)
        .map(|i| tab(i, &format!("service {i} \u{65e5}\u{672c}")))
        .collect();
    tabs[11].active = true;
    tabs[11].bell = true;
    tabs[12].activity = true;
    let all = area(frame);
    TabBar {
        session: "a session with a long name",
        tabs: &tabs,
        right: "",
    }
    .draw(frame, Rect { h: 1, ..all }, look);
}

fn commands() -> Vec<PickItem> {
    let rows = [
        ("new-pane", "Open a pane beside the focused one", "panes", "n"),
        ("close-pane", "Close the focused pane", "panes", "x"),
        (
            "move-focus",
            "Give the keys to the neighbour in a direction",
            "panes",
            "h j k l",
        ),
        ("resize", "Make the focused pane larger or smaller", "panes", "r"),
        ("toggle-fullscreen", "Show the focused pane alone", "panes", "z"),
        (
            "break-pane",
            "Move the focused pane to a tab of its own",
            "panes",
            "w b",
        ),
        ("new-tab", "Open a tab", "tabs", "t n"),
        ("rename-tab", "Give the tab a name", "tabs", "t r"),
        ("go-to-tab", "Show the tab with a number", "tabs", "1 \u{2013} 9"),
        (
            "detach",
            "Leave the session running and go back to the shell",
            "session",
            "d",
        ),
        ("quit", "End the session and everything in it", "session", ""),
        ("set-theme", "Change the colours", "look", ""),
        ("search", "Find text in what has scrolled away", "scroll", "/"),
        ("dump-screen", "Write the pane's text to a file", "scroll", ""),
    ];
    let mut items: Vec<PickItem> = rows
        .iter()
        .map(|(label, detail, group, keys)| PickItem {
            id: (*label).into(),
            label: (*label).into(),
            detail: (*detail).into(),
            group: (*group).into(),
            keys: (*keys).into(),
            ..PickItem::default()
        })
        .collect();
    items[4].disabled = Some("there is only one pane".into());
    items[9].score = 12;
    items
}

fn palette(frame: &mut Frame, look: &Look) {
    let mut p = Picker::new("Commands", commands(), Multi::No).with_enter("run");
    press(&mut p, "Down Down");
    over(frame, look, &mut p);
}

fn palette_query(frame: &mut Frame, look: &Look) {
    let mut p = Picker::new("Commands", commands(), Multi::No).with_query("pane");
    press(&mut p, "Down");
    over(frame, look, &mut p);
}

fn picker_multi_preview(frame: &mut Frame, look: &Look) {
    let items = (1..=1284u32)
        .map(|i| PickItem {
            id: i.to_string(),
            label: format!("pane {i}"),
            detail: ["~/harbour", "ssh web-1", "htop"][i as usize % 3].into(),
            preview: Some(format!(
                "$ tail -f /var/log/{i}\n\tstarted\nlistening on port {}\n",
                8_000 + i
            )),
            ..PickItem::default()
        })
        .collect();
    let verb = Verb {
        key: 'x',
        label: "close".into(),
    };
    let mut p = Picker::new("Panes", items, Multi::Yes)
        .with_verbs(vec![verb])
        .with_enter("go to");
    press(&mut p, "Tab Down Tab PageDown");
    over(frame, look, &mut p);
}

fn picker_nothing(frame: &mut Frame, look: &Look) {
    let mut p = Picker::new("Sessions", Vec::new(), Multi::No).with_nothing("no other sessions yet");
    over(frame, look, &mut p);
}

fn picker_no_match(frame: &mut Frame, look: &Look) {
    let mut p = Picker::new("Commands", commands(), Multi::No).with_query("zzz");
    over(frame, look, &mut p);
}

fn picker_loading(frame: &mut Frame, look: &Look) {
    let mut p = Picker::new("Files", Vec::new(), Multi::No);
    p.set_feed(Feed::Loading {
        elapsed_ms: 1_240,
        progress: Some((12_000, 140_000)),
    });
    over(frame, look, &mut p);
}

fn picker_denied(frame: &mut Frame, look: &Look) {
    let mut p = Picker::new("Files", Vec::new(), Multi::No);
    p.set_feed(Feed::Denied {
        reason: "/root can't be read; chmod o+x /root lets you in".into(),
    });
    over(frame, look, &mut p);
}

fn picker_stale(frame: &mut Frame, look: &Look) {
    let mut p = Picker::new("Keys", commands(), Multi::No);
    p.set_feed(Feed::Disconnected {
        age_ms: 12_000,
        retry_ms: 3_000,
    });
    over(frame, look, &mut p);
}

fn completions(before: &str) -> Vec<Completion> {
    commands()
        .into_iter()
        .filter(|c| c.label.contains(before.trim()))
        .map(|c| Completion {
            replace: 0..before.len(),
            text: c.label,
            doc: c.detail,
        })
        .collect()
}

fn prompt(frame: &mut Frame, look: &Look) {
    let mut p = Prompt::new(":", "pane")
        .with_completer(Box::new(completions))
        .with_enter("run");
    press(&mut p, "Tab Tab");
    over(frame, look, &mut p);
}

fn prompt_error(frame: &mut Frame, look: &Look) {
    let mut p = Prompt::new(":", "new-pane --direction sideways");
    p.set_error(21..29, "not a direction: left, right, up or down");
    over(frame, look, &mut p);
}

fn help_lines() -> Vec<ViewerLine> {
    let mut lines = Vec::new();
    for group in ["panes", "tabs", "session", "look", "scroll"] {
        lines.push(ViewerLine::new(group, Role::PopupTitle));
        for c in commands().iter().filter(|c| c.group == group) {
            lines.push(ViewerLine::new(
                format!("  {:<10} {:<20} {}", c.keys, c.label, c.detail),
                Role::Text,
            ));
        }
        lines.push(ViewerLine::new("", Role::Text));
    }
    let long = "A line that is too long for a narrow screen goes on in the next row, at a blank where there is one, so \
                that nothing of a message is lost however small the screen it is read on may be.";
    lines.push(ViewerLine::new(long, Role::TextDim));
    lines
}

fn help(frame: &mut Frame, look: &Look) {
    let mut v = Viewer::new("Keys", help_lines());
    press(&mut v, "j j");
    over(frame, look, &mut v);
}

fn help_filter(frame: &mut Frame, look: &Look) {
    let mut v = Viewer::new("Keys", help_lines());
    press(&mut v, "/ p a n e");
    over(frame, look, &mut v);
}

fn confirm(frame: &mut Frame, look: &Look) {
    let mut c = Confirm::new(
        "Close the tab \u{201c}build\u{201d}?",
        "2 programs in it will be ended.",
        ConfirmKind::YesNo,
    );
    over(frame, look, &mut c);
}

fn confirm_name(frame: &mut Frame, look: &Look) {
    let detail = "Its 3 nodes are stopped and their data is removed. This can't be taken back.";
    let mut c = Confirm::new(
        "Destroy the cluster orders?",
        detail,
        ConfirmKind::TypeName("orders".into()),
    );
    press(&mut c, "o r d");
    over(frame, look, &mut c);
}

fn toasts(frame: &mut Frame, look: &Look) {
    session(frame, look);
    let mut t = Toasts::new();
    t.push(Level::Info, "an older word that is no longer shown");
    t.push(Level::Info, "copied 3 lines");
    t.push(Level::Ok, "saved the layout");
    for _ in 0..3 {
        t.push(Level::Warn, "the link is slow: 900 ms");
    }
    t.push(Level::Error, "config.kdl:12:5: there is no action \u{201c}new-pnae\u{201d}; did you mean \u{201c}new-pane\u{201d}? The rest of the file was taken.");
    t.draw(area(frame), frame, look);
}
