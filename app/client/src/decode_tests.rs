//! Tests of the decoder.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use qd_tty::{Chord, InputEvent, Key, KeyEvent, KeyKind, Mods, MouseButton, MouseEvent, MouseKind};

use super::*;

fn all(bytes: &[u8]) -> Vec<Decoded> {
    let mut out = Vec::new();
    let mut d = Decoder::new();
    d.push(bytes, &mut out);
    d.flush(&mut out);
    out
}

/// The chords of the keys in `bytes`; anything else is shown as it is.
fn chords(bytes: &[u8]) -> String {
    let show = |d: Decoded| match d {
        Decoded::Event(InputEvent::Key(k)) => Chord::new(k.key, k.mods).to_string(),
        other => format!("{other:?}"),
    };
    all(bytes).into_iter().map(show).collect::<Vec<_>>().join(" ")
}

fn one(bytes: &[u8]) -> Decoded {
    let v = all(bytes);
    assert_eq!(v.len(), 1, "{v:?}");
    v[0].clone()
}

fn reply(bytes: &[u8]) -> Reply {
    match one(bytes) {
        Decoded::Reply(r) => r,
        other => panic!("{other:?}"),
    }
}

fn mouse_of(bytes: &[u8]) -> (MouseKind, u16, u16, Mods) {
    match one(bytes) {
        Decoded::Event(InputEvent::Mouse(MouseEvent { kind, col, row, mods })) => (kind, col, row, mods),
        other => panic!("{other:?}"),
    }
}

#[test]
fn control_characters_and_alt() {
    assert_eq!(
        chords(b"aA \0\x01\x08\x09\x0a\x0d\x1a\x7f\x1c\x1f"),
        "a A Space Ctrl-Space Ctrl-a Ctrl-h Tab Ctrl-j Enter Ctrl-z Backspace Ctrl-\\ Ctrl-_"
    );
    assert_eq!(chords(b"\x1b"), "Esc");
    assert_eq!(chords(b"\x1b\x1b"), "Esc Esc");
    assert_eq!(chords(b"\x1b\x1bx"), "Esc Alt-x");
    assert_eq!(
        chords(b"\x1bx\x1bX\x1b\x01\x1b\x7f\x1b\r\x1b "),
        "Alt-x Alt-X Ctrl-Alt-a Alt-Backspace Alt-Enter Alt-Space"
    );
    assert_eq!(chords("\x1bäö漢".as_bytes()), "Alt-ä ö 漢");
    assert_eq!(chords(b"\x1b[\x1b"), "Alt-[ Esc");
    for c in "[O]P_".chars() {
        assert_eq!(chords(format!("\x1b{c}").as_bytes()), format!("Alt-{c}"));
    }
    assert_eq!(chords(b"\x1b]x\x1bPx\x1b_x\x1b^x"), "Alt-] x Alt-P x Alt-_ x Alt-^ x");
}

#[test]
fn keys_with_sequences() {
    assert_eq!(
        chords(b"\x1b[A\x1bOB\x1b[1;5C\x1b[1;2D\x1b[H\x1bOF"),
        "Up Down Ctrl-Right Shift-Left Home End"
    );
    assert_eq!(
        chords(b"\x1b[1~\x1b[2~\x1b[3;5~\x1b[4~\x1b[5;3~\x1b[6~"),
        "Home Insert Ctrl-Delete End Alt-PageUp PageDown"
    );
    assert_eq!(
        chords(b"\x1bOP\x1b[11~\x1b[[B\x1b[15~\x1b[17;2~\x1b[24~\x1b[34~"),
        "F1 F1 F2 F5 Shift-F6 F12 F20"
    );
    assert_eq!(
        chords(b"\x1b[Z\x1b[1;5P\x1b[1;2R\x1b[29~"),
        "Shift-Tab Ctrl-F1 Shift-F3 Menu"
    );
    assert_eq!(
        chords(b"\x1b\x1b[A\x1b\x1bOA\x1b[a\x1bOb\x1b[3$\x1b[3^\x1b[3@"),
        "Alt-Up Alt-Up Shift-Up Ctrl-Down Shift-Delete Ctrl-Delete Ctrl-Shift-Delete"
    );
    assert_eq!(chords(b"\x1bO5A\x1bOM\x1bOp\x1bOk"), "Ctrl-Up Enter 0 +");
    assert_eq!(chords(b"\x1b[27;5;44~\x1b[27;6;13~"), "Ctrl-, Ctrl-Shift-Enter");
}

#[test]
fn kitty_keys() {
    assert_eq!(
        chords(b"\x1b[27u\x1b[97;5u\x1b[13;2u\x1b[127;3u\x1b[9;5u\x1b[57363u\x1b[57376u"),
        "Esc Ctrl-a Shift-Enter Alt-Backspace Ctrl-Tab Menu F13"
    );
    assert_eq!(chords(b"\x1b[49:33;6u"), "Ctrl-!");
    assert_eq!(chords(b"\x1b[1089::99;5u"), "Ctrl-c");
    assert_eq!(chords("\x1b[97:65;2u\x1b[57399;5u".as_bytes()), "A Ctrl-0");
    assert_eq!(chords(b"\x1b[97;69u"), "Ctrl-a", "caps lock is no modifier");
    let k = |kind| {
        Decoded::Event(InputEvent::Key(KeyEvent {
            key: Key::Up,
            mods: Mods::SHIFT,
            kind,
        }))
    };
    assert_eq!(one(b"\x1b[1;2:3A"), k(KeyKind::Release));
    assert_eq!(one(b"\x1b[1;2:2A"), k(KeyKind::Repeat));
    assert!(matches!(one(b"\x1b[57441;2u"), Decoded::Event(InputEvent::Unknown(_))));
}

#[test]
fn the_mouse() {
    use MouseButton::{Left, Middle, Right};
    let none = Mods::empty();
    assert_eq!(mouse_of(b"\x1b[<0;1;1M"), (MouseKind::Press(Left), 0, 0, none));
    assert_eq!(mouse_of(b"\x1b[<2;300;20m"), (MouseKind::Release(Right), 299, 19, none));
    assert_eq!(mouse_of(b"\x1b[<33;3;4M"), (MouseKind::Drag(Middle), 2, 3, none));
    assert_eq!(mouse_of(b"\x1b[<35;3;4M"), (MouseKind::Move, 2, 3, none));
    assert_eq!(mouse_of(b"\x1b[<80;3;4M"), (MouseKind::WheelUp, 2, 3, Mods::CTRL));
    assert_eq!(mouse_of(b"\x1b[<69;3;4M"), (MouseKind::WheelDown, 2, 3, Mods::SHIFT));
    assert_eq!(mouse_of(b"\x1b[<0;0;99999999M").1, 0);
    assert_eq!(mouse_of(b"\x1b[M !\xff"), (MouseKind::Press(Left), 0, 222, none));
    assert_eq!(mouse_of(b"\x1b[32;5;6M"), (MouseKind::Press(Left), 4, 5, none));
    let v = all(b"\x1b[M\"!!\x1b[M#!!");
    assert!(matches!(
        v[1],
        Decoded::Event(InputEvent::Mouse(MouseEvent {
            kind: MouseKind::Release(Right),
            ..
        }))
    ));
    assert!(matches!(one(b"\x1b[<128;3;4M"), Decoded::Event(InputEvent::Unknown(_))));
}

#[test]
fn pastes_are_whole_and_bounded() {
    let paste = |b: &[u8]| Decoded::Event(InputEvent::Paste(b.to_vec()));
    assert_eq!(
        one(b"\x1b[200~a\x1b[31m\r\n\x1b[20\x1b[201~"),
        paste(b"a\x1b[31m\r\n\x1b[20")
    );
    assert_eq!(one(b"\x1b[200~\x1b[201~"), paste(b""));
    let mut d = Decoder::new();
    d.paste_limit = 8;
    let mut out = Vec::new();
    d.push("\x1b[200~1234567äbcdefgh12\x1b[201~x".as_bytes(), &mut out);
    let key = Decoded::Event(InputEvent::Key(KeyEvent::new(Key::Char('x'), Mods::empty())));
    assert_eq!(
        out,
        [paste(b"1234567"), paste("äbcdefg".as_bytes()), paste(b"h12"), key][..]
            .to_vec()
            .as_slice()
    );
    let mut d = Decoder::new();
    out.clear();
    d.push(b"\x1b[200~abc\x1b", &mut out);
    assert_eq!(d.patience(Duration::from_millis(1)), None, "a paste has no time limit");
    d.flush(&mut out);
    d.push(b"[201~", &mut out);
    assert_eq!(out, vec![paste(b"abc")]);
    out.clear();
    let big = vec![b'x'; 40 << 20];
    d.push(b"\x1b[200~", &mut out);
    big.chunks(65_536).for_each(|c| d.push(c, &mut out));
    d.push(b"\x1b[201~", &mut out);
    let lens: Vec<usize> = out
        .iter()
        .map(|d| {
            if let Decoded::Event(InputEvent::Paste(p)) = d {
                p.len()
            } else {
                0
            }
        })
        .collect();
    assert_eq!(lens, [MAX_PASTE, MAX_PASTE, (40 << 20) - 2 * MAX_PASTE]);
}

#[test]
fn focus_and_replies() {
    assert_eq!(one(b"\x1b[I"), Decoded::Event(InputEvent::FocusGained));
    assert_eq!(one(b"\x1b[O"), Decoded::Event(InputEvent::FocusLost));
    assert_eq!(reply(b"\x1b[?62;22c"), Reply::PrimaryAttributes(vec![62, 22]));
    assert_eq!(reply(b"\x1b[>41;380;0c"), Reply::SecondaryAttributes(vec![41, 380, 0]));
    assert_eq!(
        reply(b"\x1bP>|kitty(0.36.1)\x1b\\"),
        Reply::Version("kitty(0.36.1)".into())
    );
    assert_eq!(reply(b"\x1b[?5u"), Reply::Kitty(5));
    assert_eq!(reply(b"\x1b[?2026;2$y"), Reply::Mode { mode: 2026, state: 2 });
    assert_eq!(
        reply(b"\x1b]11;rgb:ffff/8080/0000\x1b\\"),
        Reply::Background { r: 255, g: 128, b: 0 }
    );
    assert_eq!(reply(b"\x1b]10;#fff\x07"), Reply::Foreground { r: 255, g: 255, b: 255 });
    assert_eq!(reply(b"\x1b[?997;2n"), Reply::ColorScheme(Scheme::Light));
    assert_eq!(reply(b"\x1b[12;40R"), Reply::CursorPosition { row: 12, col: 40 });
    assert!(matches!(reply(b"\x1b]52;c;YQ==\x07"), Reply::Other(_)));
    assert!(matches!(reply(b"\x1b[8;24;80t"), Reply::Other(_)));
    assert!(matches!(reply(b"\x1b_Gi=1;OK\x1b\\"), Reply::Other(_)));
}

#[test]
fn what_is_not_known_is_kept_and_what_is_too_long_is_cut() {
    let unknown = |b: &[u8]| Decoded::Event(InputEvent::Unknown(b.to_vec()));
    assert_eq!(one(b"\x1b[99;7z"), unknown(b"\x1b[99;7z"));
    assert_eq!(all(b"\xffa\xc3(").len(), 4);
    assert_eq!(one(b"\xe6\xbc"), unknown(b"\xe6\xbc"));
    assert_eq!(all(b"\x1b[12\x01")[0], unknown(b"\x1b[12"));
    let long = [b"\x1b[".to_vec(), vec![b'1'; 1000]].concat();
    assert!(all(&long).len() > 700);
    let mut d = Decoder::new();
    let mut out = Vec::new();
    d.push(b"\x1b]52;c;", &mut out);
    (0..100_000).for_each(|_| d.push(b"AAAA", &mut out));
    assert!(d.buf.len() < 2 * MAX_STRING && d.buf.capacity() < 10 * MAX_STRING);
    d.push(b"\x1b\\q", &mut out);
    assert_eq!(out.len(), 1, "{out:?}");
}

#[test]
fn a_lone_escape_waits_for_a_short_time_and_the_rest_for_a_long_one() {
    let escape = Duration::from_millis(25);
    let mut d = Decoder::new();
    let mut out = Vec::new();
    let patience = |d: &mut Decoder, b: &[u8], out: &mut Vec<Decoded>| {
        d.push(b, out);
        d.patience(escape)
    };
    assert_eq!(patience(&mut d, b"a", &mut out), None);
    assert_eq!(patience(&mut d, b"\x1b", &mut out), Some(escape));
    assert_eq!(patience(&mut d, b"[", &mut out), Some(escape));
    assert_eq!(patience(&mut d, b"1", &mut out), Some(SLOW));
    assert!(d.pending());
    assert_eq!(patience(&mut d, b"A", &mut out), None);
}

/// Pieces that streams are made of.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<&[u8]> = vec![
        b"\x1b",
        b"\x1b[",
        b"\x1bO",
        b"\x1b]",
        b"\x1bP",
        b"\x1b_G",
        b"\x1b[<0;3;4M",
        b"\x1b[M",
        b"\x1b[200~",
        b"\x1b[201~",
        b"\x1b[1;5A",
        b"\x1b\\",
        b"\x07",
        b"\x1b]11;rgb:1/2/3",
        b"\x1bP>|x",
        b"\x1b[?1;2c",
        b"\x1b[[",
        b"\x1b[97:65;2:3u",
        b"\x18",
        "ä漢👍".as_bytes(),
        b"\xe6\xbc",
        b"$",
        b"\x1b[27;5;",
        b"~",
        b"u",
    ];
    let known: Vec<Vec<u8>> = known.into_iter().map(<[u8]>::to_vec).collect();
    prop_oneof![
        4 => prop::sample::select(known),
        2 => prop::collection::vec(any::<u8>(), 1..4),
        1 => "[ -~]{1,8}".prop_map(String::into_bytes),
        1 => prop::sample::select(vec![300usize, 5000]).prop_map(|n| vec![b'5'; n]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_cut_does_not_matter(pieces in prop::collection::vec(piece(), 0..20), cuts in prop::collection::vec(1usize..9, 1..9)) {
        let bytes = pieces.concat();
        for limit in [MAX_PASTE, 7] {
            let mut whole = Vec::new();
            let mut d = Decoder::new();
            d.paste_limit = limit;
            d.push(&bytes, &mut whole);
            d.flush(&mut whole);
            let mut cut = Vec::new();
            let mut d = Decoder::new();
            d.paste_limit = limit;
            let mut rest = bytes.as_slice();
            for n in cuts.iter().cycle() {
                let (a, b) = rest.split_at((*n).min(rest.len()));
                d.push(a, &mut cut);
                rest = b;
                prop_assert!(d.buf.len() <= MAX_STRING);
                if rest.is_empty() {
                    break;
                }
            }
            d.flush(&mut cut);
            prop_assert_eq!(&whole, &cut);
        }
    }
}

#[test]
fn fuzz_for_as_long_as_asked() {
    let secs = std::env::var("QD_FUZZ_SECONDS")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(1);
    let end = Instant::now() + Duration::from_secs(secs);
    let seed: &[u8] = b"\x1b[<0;3;4M\x1b[200~x\x1b[201~\x1b]11;rgb:1/2/3\x07\x1bP>|x\x1b\\\x1b[97:65;2:3u\x1b[27;5;44~\xe6\xbc\xa2\x1bOA\x1b[M !!";
    let mut x = 0x9e37_79b9_7f4a_7c15u64;
    while Instant::now() < end {
        let mut data = seed.to_vec();
        for _ in 0..12 {
            x = x
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let at = (x >> 33) as usize % data.len();
            match x >> 20 & 3 {
                0 => data.insert(at, (x >> 24) as u8),
                1 => data[at] = (x >> 24) as u8,
                2 => data.truncate(at + 1),
                _ => data.rotate_left(at),
            }
        }
        crate::fuzz::decoder(&data);
    }
}
