//! The care of alacritty's grids: room for what scrolls off, draining it into the cold store before any is lost, sizes,
//! and the way to the grid that is not shown. Nothing here looks at the bytes of the program.

use alacritty_terminal::{
    Grid,
    event::VoidListener,
    grid::Dimensions,
    index::{Column, Line},
    term::{Config, Term, TermMode, cell::Cell},
};
use qd_tty::Size;

use super::{
    cells::{self, Hint},
    core::Core,
};

/// A grid's size, with room to spare: alacritty wants two columns and one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dims {
    pub(super) cols: usize,
    pub(super) rows: usize,
}

impl Dims {
    pub(super) fn of(size: Size) -> Self {
        Self {
            cols: usize::from(size.cols).max(2),
            rows: usize::from(size.rows).max(1),
        }
    }

    /// Rows that stay in the grid above the screen, for when the screen grows or is wrapped anew.
    pub(super) const fn keep(self) -> usize {
        if self.rows > 64 { self.rows } else { 64 }
    }

    /// Rows above the screen at the most.
    pub(super) const fn cap(self) -> usize {
        self.keep() + self.rows + 32
    }
}

impl Dimensions for Dims {
    fn total_lines(&self) -> usize {
        self.rows
    }
    fn screen_lines(&self) -> usize {
        self.rows
    }
    fn columns(&self) -> usize {
        self.cols
    }
}

/// The columns with a tab stop: `Term` has them too, but does not show them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tabs(pub(super) Vec<bool>);

impl Tabs {
    /// One every eight columns.
    pub(super) fn new(cols: usize) -> Self {
        Self((0..cols).map(|i| i % 8 == 0).collect())
    }

    fn resize(&mut self, old: usize, cols: usize) {
        if old != cols {
            let from = self.0.len().min(cols);
            self.0.truncate(from);
            self.0.extend((from..cols).map(|i| i % 8 == 0));
        }
    }
}

pub(super) fn new_term(dims: Dims) -> Term<VoidListener> {
    let config = Config {
        scrolling_history: dims.cap(),
        kitty_keyboard: false,
        ..Config::default()
    };
    Term::new(config, &dims, VoidListener)
}

fn line(i: usize) -> Line {
    Line(i32::try_from(i).unwrap_or(i32::MAX))
}

/// A blank grid with so many rows above the screen, and room for `spare` more.
pub(super) fn blank(dims: Dims, history: usize, spare: usize, history_max: usize) -> Grid<Cell> {
    let Dims { cols, rows } = dims;
    let mut new: Grid<Cell> = Grid::new(rows + history + spare, cols, history_max);
    new.resize(false, rows, cols);
    new.update_history(history_max);
    if history > 0 {
        new.scroll_up(&(line(0)..line(rows)), history);
    }
    new
}

/// Says of every row that all of its cells may have been written. A grid clears only what was written to a row, and
/// loses count of it when it changes its width.
fn touch_rows(grid: &mut Grid<Cell>) {
    for i in 0..grid.total_lines() {
        let at = line(i) - grid.history_size();
        let _ = grid[at].last_mut();
    }
}

/// Gives `grid` exactly `spare` rows of room beyond those in use: left to itself it takes a thousand.
fn make_room(grid: &mut Grid<Cell>, spare: usize, history_max: usize) {
    let (rows, cols, history) = (grid.screen_lines(), grid.columns(), grid.history_size());
    let mut new = blank(Dims { cols, rows }, history, spare, history_max);
    for i in 0..rows + history {
        let at = line(i) - history;
        std::mem::swap(&mut new[at], &mut grid[at]);
    }
    new.cursor = std::mem::take(&mut grid.cursor);
    new.saved_cursor = std::mem::take(&mut grid.saved_cursor);
    *grid = new;
}

impl Core {
    pub(super) fn alt(&self) -> bool {
        self.term.mode().contains(TermMode::ALT_SCREEN)
    }

    /// Rows above the main screen that are still in its grid.
    pub(super) fn hot(&self) -> usize {
        if self.alt() {
            self.hot_behind
        } else {
            self.term.grid().history_size()
        }
    }

    /// Works on the main screen's grid, shown or not.
    pub(super) fn with_main<R>(&mut self, f: impl FnOnce(&mut Self) -> R) -> R {
        if !self.alt() {
            return f(self);
        }
        // Swapping wipes the alternate grid on the way back, so a stand-in is swapped instead.
        let alt = std::mem::replace(self.term.grid_mut(), Grid::new(1, 2, 0));
        self.term.swap_alt();
        let out = f(self);
        self.hot_behind = self.term.grid().history_size();
        self.term.swap_alt();
        *self.term.grid_mut() = alt;
        out
    }

    /// Works on the alternate screen's grid while the main one is shown. Of what is in it only the saved cursor counts: the
    /// rest is made anew when it is shown.
    pub(super) fn with_hidden<R>(&mut self, f: impl FnOnce(&mut Grid<Cell>) -> R) -> R {
        // Swapping changes the saved cursor of the grid that goes, so a stand-in goes.
        let main = std::mem::replace(self.term.grid_mut(), Grid::new(1, 2, 0));
        self.term.swap_alt();
        let out = f(self.term.grid_mut());
        self.term.swap_alt();
        *self.term.grid_mut() = main;
        out
    }

    /// Makes sure that `n` more rows may scroll off the main screen without loss.
    #[inline]
    pub(super) fn room(&mut self, n: usize) {
        if self.term.grid().history_size() + n > self.dims.cap() || !self.roomy {
            self.room_slow();
        }
    }

    #[cold]
    fn room_slow(&mut self) {
        if self.alt() {
            return;
        }
        if !self.roomy {
            self.roomy = true;
            let spare = self.dims.cap().saturating_sub(self.term.grid().history_size());
            make_room(self.term.grid_mut(), spare, self.dims.cap());
        }
        if self.term.grid().history_size() + self.dims.rows > self.dims.cap() {
            self.drain(self.dims.keep());
        }
    }

    /// Brings the number of width hints in line with the rows above the screen.
    #[inline]
    pub(super) fn sync_widths(&mut self) {
        let history = self.term.grid().history_size();
        if self.widths.len() != history {
            self.widths.resize(history, Hint::UNKNOWN);
        }
    }

    /// Moves the oldest rows of the (shown) main grid to the cold store, until `keep` are left above the screen.
    pub(super) fn drain(&mut self, keep: usize) {
        let history = self.term.grid().history_size();
        if history <= keep {
            return;
        }
        self.sync_widths();
        let grid = self.term.grid();
        for i in (keep..history).rev() {
            let row = &grid[Line(-1) - i];
            let hint = self.widths.pop_front().unwrap_or(Hint::UNKNOWN);
            let all = &row[Column(0)..Column(row.len())];
            cells::pack(all, hint, &mut self.store);
        }
        let cap = self.dims.cap();
        let grid = self.term.grid_mut();
        grid.update_history(keep);
        grid.update_history(cap);
    }

    /// Changes the size of both screens. Text on the main one is wrapped anew, nothing of it is lost.
    pub(super) fn set_dims(&mut self, dims: Dims) {
        let old = self.dims;
        if old == dims {
            return;
        }
        let mut anchors = self.anchors();
        let alt = self.alt();
        let grow = dims.rows.saturating_sub(old.rows);
        // The grid forgets rows beyond its limit while it wraps: the limit goes out of the way.
        // A wide character may leave the last column of every row blank.
        let worst = (old.cap() + old.rows) * (old.cols.div_ceil(dims.cols.saturating_sub(1).max(1)) + 1) + dims.rows;
        if grow > 0 {
            if alt {
                make_room(self.term.grid_mut(), grow, 0);
            } else {
                self.renew_alt(dims);
            }
        }
        self.with_main(|c| {
            // What may stay is decided by the sizes alone, not by when the grid was drained last.
            c.drain(old.keep());
            if dims.rows != old.rows {
                make_room(c.term.grid_mut(), 2 * dims.rows.abs_diff(old.rows), worst);
            }
            c.term.grid_mut().update_history(worst);
        });
        // Of a row that is cut into many, alacritty copies all the rest for each, and keeps room for it: one step to a
        // hundredth of the width is fifty copies of everything, a step to a quarter is two.
        let mut cols = old.cols;
        while cols / 16 > dims.cols {
            cols /= 4;
            self.term.resize(Dims { cols, ..dims });
        }
        self.term.resize(dims);
        self.dims = dims;
        self.region = 0..dims.rows;
        self.widths.clear();
        self.touched = true;
        self.rewrap(&mut anchors, dims.cols);
        self.with_main(|c| {
            c.drain(dims.keep());
            c.widths.clear();
            let grid = c.term.grid_mut();
            grid.truncate();
            grid.update_history(dims.cap());
            touch_rows(grid);
        });
        if alt {
            self.term.grid_mut().truncate();
            touch_rows(self.term.grid_mut());
        } else {
            self.with_hidden(touch_rows);
        }
        self.tabs.resize(old.cols, dims.cols);
        self.roomy = false;
        self.restore_anchors(&anchors);
    }

    /// Puts a fresh alternate grid, of the old size but with room to grow, behind the main one.
    fn renew_alt(&mut self, dims: Dims) {
        let main = std::mem::replace(self.term.grid_mut(), Grid::new(1, 2, 0));
        self.term.swap_alt();
        let (rows, cols) = (self.dims.rows, self.dims.cols);
        let mut alt = Grid::new(rows.max(dims.rows), cols, 0);
        alt.resize(false, rows, cols);
        *self.term.grid_mut() = alt;
        self.term.swap_alt();
        *self.term.grid_mut() = main;
    }
}
