//! Layout goldens: what splits, closes, resizes and screens of any size do to the tiles.

use qd_tty::Size;

use super::{bare, draw, refused, run, session};
use crate::{Axis, Dim, Direction, LayoutSpec, Model, Node, PaneId, PaneSpec, Part, TabSpec};

fn pane(size: Option<Dim>) -> Node {
    Node::Pane {
        spec: PaneSpec::default(),
        size,
        focus: false,
    }
}

fn open(cols: u16, rows: u16, root: Node) -> Model {
    let mut m = Model::new("test", Size::new(cols, rows));
    m.open(&LayoutSpec {
        tabs: vec![TabSpec {
            name: None,
            focus: false,
            root,
        }],
    });
    m.check().unwrap();
    m
}

fn widths(m: &Model) -> Vec<u16> {
    m.placements().iter().map(|p| p.outer.w).collect()
}

#[test]
fn a_new_pane_splits_the_longer_side_as_it_looks() {
    let mut m = bare(24, 10);
    run(&mut m, "new-pane"); // 24x8 is wider than high
    run(&mut m, "new-pane"); // 12x8 is higher than wide
    assert_eq!(
        draw(&m),
        ("111111111111222222222222\n".repeat(4) + &"111111111111333333333333\n".repeat(4))
    );
    assert_eq!(m.focused(), Some(PaneId(3)));
}

#[test]
fn a_new_pane_takes_the_other_side_when_the_longer_has_no_room() {
    let mut m = bare(9, 10);
    run(&mut m, "new-pane --direction down");
    // 9x4 is wider than high, but only two rows of three fit nowhere: 9 columns hold no two of five.
    assert_eq!(
        refused(&mut m, "new-pane"),
        "no room to split: 9x4 cells left, a pane needs 5x3"
    );
    assert_eq!(
        refused(&mut m, "new-pane -d right"),
        "no room to split: 9x4 cells left, a pane needs 5x3"
    );
    let mut m = bare(12, 9);
    run(&mut m, "new-pane -d right");
    run(&mut m, "new-pane");
    assert_eq!(draw(&m), "111111222222\n".repeat(4) + &"111111333333\n".repeat(3));
}

#[test]
fn every_direction_puts_the_new_pane_on_its_side() {
    for (side, row) in [("left", "2222222111111"), ("right", "1111111222222")] {
        let mut m = bare(13, 6);
        run(&mut m, &format!("new-pane --direction {side}"));
        assert_eq!(draw(&m), format!("{row}\n").repeat(4));
    }
    let mut m = bare(10, 10);
    run(&mut m, "new-pane --direction up");
    assert_eq!(draw(&m), "2222222222\n".repeat(4) + &"1111111111\n".repeat(4));
}

#[test]
fn closing_gives_the_room_back_to_the_sibling_it_came_from() {
    let mut m = bare(40, 10);
    run(&mut m, "new-pane -d right");
    run(&mut m, "new-pane -d right");
    assert_eq!(widths(&m), [20, 10, 10]);
    run(&mut m, "close-pane");
    assert_eq!(widths(&m), [20, 20]);
    assert_eq!(m.focused(), Some(PaneId(2)));
    run(&mut m, "close-pane --pane-id 1");
    assert_eq!(widths(&m), [40]);
}

#[test]
fn closing_dissolves_splits_of_one_and_joins_splits_that_lie_alike() {
    let mut m = bare(40, 22);
    run(&mut m, "new-pane -d right"); // 1 | 2
    run(&mut m, "new-pane -d down"); // 1 | 2/3
    run(&mut m, "new-pane -d right"); // 1 | 2/(3|4)
    run(&mut m, "close-pane --pane-id 2"); // 1 | 3 | 4
    assert_eq!(widths(&m), [20, 10, 10]);
    run(&mut m, "equalize-panes");
    assert_eq!(widths(&m), [13, 14, 13]);
    let LayoutSpec { tabs } = m.dump_layout();
    assert!(matches!(&tabs[0].root, Node::Split { axis: Axis::Row, children, .. } if children.len() == 3));
}

#[test]
fn shrinking_to_nothing_and_growing_restores_the_proportions() {
    let mut m = session(120, 40);
    for line in [
        "new-pane -d right",
        "new-pane -d down",
        "resize increase left",
        "new-pane -d right",
        "focus-previous-pane",
    ] {
        run(&mut m, line);
    }
    let before = draw(&m);
    for (cols, rows) in [(1, 1), (0, 0), (7, 3), (500, 200), (2, 60), (119, 39)] {
        m.resize(Size::new(cols, rows));
        m.check().unwrap();
    }
    m.resize(Size::new(120, 40));
    assert_eq!(draw(&m), before);
}

#[test]
fn remainders_are_spread_and_leave_no_gap() {
    let row = Node::Split {
        axis: Axis::Row,
        size: None,
        children: vec![pane(None); 7],
    };
    for cols in 0..=60 {
        let m = open(cols, 5, row.clone());
        let w = widths(&m);
        assert_eq!(w.iter().sum::<u16>(), cols);
        assert!(w.iter().max().unwrap() - w.iter().min().unwrap() <= 1, "{w:?}");
    }
}

#[test]
fn layouts_mix_percents_cells_and_what_is_left() {
    let children = vec![pane(Some(Dim::Cells(10))), pane(Some(Dim::Percent(25.0))), pane(None)];
    let row = Node::Split {
        axis: Axis::Row,
        size: None,
        children,
    };
    assert_eq!(widths(&open(110, 10, row.clone())), [10, 25, 75]);
    assert_eq!(widths(&open(50, 10, row.clone())), [10, 10, 30]);
    // Fixed parts that do not fit get what there is.
    assert_eq!(widths(&open(6, 10, row)), [6, 0, 0]);
    let fixed = Node::Split {
        axis: Axis::Row,
        size: None,
        children: vec![pane(Some(Dim::Cells(1))), pane(Some(Dim::Cells(3)))],
    };
    assert_eq!(widths(&open(80, 10, fixed)), [20, 60]);
}

#[test]
fn senseless_layouts_still_open() {
    let empty = Node::Split {
        axis: Axis::Row,
        size: None,
        children: Vec::new(),
    };
    assert_eq!(widths(&open(80, 10, empty.clone())), [80]);
    let odd = [f32::NAN, f32::INFINITY, -5.0, 0.0, 400.0].map(|p| pane(Some(Dim::Percent(p))));
    let children = odd.into_iter().chain([empty, pane(Some(Dim::Cells(0)))]).collect();
    let m = open(
        80,
        10,
        Node::Split {
            axis: Axis::Row,
            size: None,
            children,
        },
    );
    assert_eq!(widths(&m).len(), 6);
}

#[test]
fn resizing_moves_the_border_on_that_side_and_no_other() {
    let mut m = bare(80, 22);
    run(&mut m, "new-pane -d right");
    run(&mut m, "new-pane -d right");
    run(&mut m, "focus-previous-pane");
    assert_eq!(widths(&m), [40, 20, 20]);
    run(&mut m, "resize increase left");
    assert_eq!(widths(&m), [36, 24, 20]);
    run(&mut m, "resize increase right");
    assert_eq!(widths(&m), [36, 28, 16]);
    run(&mut m, "resize decrease right");
    run(&mut m, "resize decrease left");
    assert_eq!(widths(&m), [40, 20, 20]);
    // At the screen's side there is no border: the opposite one moves that way.
    run(&mut m, "resize increase left --pane-id 1");
    assert_eq!(widths(&m), [36, 24, 20]);
    run(&mut m, "resize increase");
    assert_eq!(widths(&m), [32, 32, 16]);
    assert_eq!(
        refused(&mut m, "resize increase up"),
        "the pane has no border that could move up"
    );
}

#[test]
fn resizing_stops_where_a_pane_would_get_too_small() {
    let mut m = bare(40, 22);
    run(&mut m, "new-pane -d right");
    for _ in 0..7 {
        run(&mut m, "resize increase left");
    }
    run(&mut m, "resize increase left");
    assert_eq!(widths(&m), [5, 35]);
    assert_eq!(
        refused(&mut m, "resize increase left"),
        "no room to resize: a pane needs 5x3"
    );
}

#[test]
fn fixed_parts_trade_cells_with_their_neighbour_alone() {
    let children = vec![pane(Some(Dim::Cells(10))), pane(None), pane(None)];
    let mut m = open(
        110,
        10,
        Node::Split {
            axis: Axis::Row,
            size: None,
            children,
        },
    );
    assert_eq!(widths(&m), [10, 50, 50]);
    run(&mut m, "resize increase right");
    assert_eq!(widths(&m), [16, 44, 50]);
    m.resize(Size::new(204, 10));
    assert_eq!(widths(&m)[0], 16);
}

#[test]
fn the_mouse_drags_the_border_it_took_hold_of() {
    let mut m = session(80, 24);
    run(&mut m, "new-pane -d right");
    run(&mut m, "new-pane -d down");
    assert!(m.border_at(20, 10).is_none());
    assert!(matches!(
        m.pane_at(39, 10),
        Some((PaneId(1), Part::Frame(crate::Edge::Right)))
    ));
    assert!(matches!(
        m.pane_at(40, 5),
        Some((PaneId(2), Part::Frame(crate::Edge::Left)))
    ));
    for from in [39, 40] {
        let mut m = m.clone();
        let border = m.border_at(from, 5).unwrap();
        assert_eq!(m.move_border(&border, (from + 10, 7)).len(), 1);
        m.check().unwrap();
        assert_eq!(widths(&m), [50, 30, 30]);
        // Far beyond what there is room for, and back to where the mouse is.
        m.move_border(&border, (500, 0));
        assert_eq!(widths(&m), [74, 6, 6]);
        m.move_border(&border, (from - 20, 0));
        assert_eq!(widths(&m), [20, 60, 60]);
        assert!(m.move_border(&border, (from - 20, 9)).is_empty());
    }
    // Where the borders meet, the way of the mouse decides.
    let mut down = m.clone();
    down.drag((40, 11), (40, 15));
    assert_eq!(down.placements()[1].outer.h, 15);
    m.drag((40, 11), (44, 11));
    assert_eq!(widths(&m), [44, 36, 36]);
    assert!(m.drag((0, 0), (5, 5)).is_empty());
}

#[test]
fn a_dumped_layout_opens_as_the_same_screen() {
    let mut m = session(200, 60);
    for line in [
        "new-pane -d right -- top -d 1",
        "resize increase left",
        "new-pane -d down --name logs",
        "new-tab --name two",
        "new-pane",
    ] {
        run(&mut m, line);
    }
    run(&mut m, "go-to-tab 1");
    let mut again = Model::new("test", m.size());
    again.open(&m.dump_layout());
    again.check().unwrap();
    assert_eq!(again.dump_layout(), m.dump_layout());
    assert_eq!(draw(&again), draw(&m));
    assert_eq!(again.active_index(), Some(0));
    assert_eq!(again.focused(), m.focused());
}

#[test]
fn the_bars_leave_a_screen_that_has_no_rows_for_them() {
    for (rows, top, bottom, area) in [
        (0, 0, 0, 0),
        (1, 0, 0, 1),
        (2, 0, 0, 2),
        (3, 0, 1, 2),
        (4, 1, 1, 2),
        (24, 1, 1, 22),
    ] {
        let m = session(80, rows);
        let have = (m.tab_bar().iter().count(), m.bottom_bar().iter().count(), m.area().h);
        assert_eq!(have, (top, bottom, area), "{rows} rows");
    }
    let m = session(80, 24);
    assert_eq!((m.tab_bar().unwrap().y, m.bottom_bar().unwrap().y), (0, 23));
}

#[test]
fn frames_go_where_they_leave_no_content() {
    let mut m = session(3, 5);
    let p = m.placements()[0];
    assert!(p.framed && p.inner.size() == Size::new(1, 1));
    m.resize(Size::new(2, 5));
    let p = m.placements()[0];
    assert!(!p.framed && p.inner == p.outer);
}

#[test]
fn without_frames_a_blank_parts_neighbours() {
    let mut m = bare(20, 12);
    run(&mut m, "new-pane -d right");
    run(&mut m, "new-pane -d down");
    let inner: Vec<(u16, u16)> = m.placements().iter().map(|p| (p.inner.w, p.inner.h)).collect();
    assert_eq!(inner, [(9, 10), (10, 4), (10, 5)]);
}

#[test]
fn neighbours_are_found_on_screens_too_small_to_show_them() {
    let mut m = session(80, 24);
    run(&mut m, "new-pane -d right");
    m.resize(Size::new(1, 1));
    run(&mut m, "move-focus left");
    assert_eq!(m.focused(), Some(PaneId(1)));
    assert_eq!(Direction::Left.opposite(), Direction::Right);
}
