//! Walking the merged order: one stream a source, each standing on a passing line; the least (or greatest) key is next.
//!
//! Within a source the order is the file's, always. For merging, a line's key is its time, lifted to the highest key before it
//! and lowered to the least of the maxima of its block and all later ones. So lines out of order within one 64 KiB block, and
//! single lines from the future, stay with their neighbours instead of dragging these along: the window is one block.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::block::Lines;
use crate::error::Result;
use crate::index::Index;
use crate::mask::Mask;
use crate::row::Pos;
use crate::shared::Shared;
use crate::source::Source;
use crate::stamp::NONE;

/// One source's place in a walk.
#[derive(Clone)]
pub(crate) struct Stream {
    pub source: Arc<Source>,
    pub index: Arc<Index>,
    loaded: Option<Loaded>,
    /// The line it stands on, within the loaded block; `None` past an end.
    line: Option<usize>,
}

#[derive(Clone)]
struct Loaded {
    block: u64,
    lines: Arc<Lines>,
    keys: Arc<[i64]>,
    mask: Mask,
}

/// How much may be done for one call before it gives up and says so: blocks whose filters are not evaluated yet.
pub(crate) struct Budget {
    left: Cell<u32>,
    spent: Cell<bool>,
    /// Until when, for somebody who waits.
    until: Option<Instant>,
    begun: Cell<bool>,
}

impl Budget {
    pub(crate) fn new(blocks: u32) -> Budget {
        Budget {
            left: Cell::new(blocks),
            spent: Cell::new(false),
            until: None,
            begun: Cell::new(false),
        }
    }

    /// For somebody who waits: one block, and more only within this time.
    pub(crate) fn hurry(blocks: u32, most: Duration) -> Budget {
        Budget {
            until: Some(Instant::now() + most),
            ..Budget::new(blocks)
        }
    }

    /// Whether somebody waits.
    pub(crate) fn hurried(&self) -> bool {
        self.until.is_some()
    }

    /// Leaves the rest undone.
    pub(crate) fn give_up(&self) {
        self.spent.set(true);
        self.left.set(0);
    }

    pub(crate) fn take(&self) -> bool {
        let late = self.begun.replace(true) && self.until.is_some_and(|until| Instant::now() > until);
        match self.left.get().checked_sub(1).filter(|_| !late) {
            Some(left) => {
                self.left.set(left);
                true
            }
            None => {
                self.spent.set(true);
                false
            }
        }
    }

    /// Whether something was left undone.
    pub(crate) fn spent(&self) -> bool {
        self.spent.get()
    }
}

impl Stream {
    pub(crate) fn new(source: &Arc<Source>) -> Stream {
        Stream {
            source: Arc::clone(source),
            index: Arc::clone(&source.index()),
            loaded: None,
            line: None,
        }
    }

    /// The key of the line it stands on, with the source's clock adjusted.
    pub(crate) fn key(&self) -> Option<i64> {
        let key = *self.loaded.as_ref()?.keys.get(self.line?)?;
        Some(if key == NONE {
            NONE
        } else {
            key.saturating_add(self.source.offset())
        })
    }

    pub(crate) fn here(&self) -> Option<(u64, usize, &Arc<Lines>)> {
        let loaded = self.loaded.as_ref()?;
        Some((loaded.block, self.line?, &loaded.lines))
    }

    pub(crate) fn pos(&self) -> Option<Pos> {
        let (block, line, _) = self.here()?;
        Some(Pos {
            source: self.source.id,
            generation: self.index.generation,
            block,
            line: line as u32,
        })
    }

    fn load(&mut self, view: &Shared, block: u64, mask: Mask) -> Result<()> {
        if self.loaded.as_ref().is_some_and(|l| l.block == block) {
            return Ok(());
        }
        let lines = view.lines(&self.source, &self.index, block)?;
        let floor = block
            .checked_sub(1)
            .and_then(|b| self.index.ceiling(b))
            .filter(|k| *k != i64::MAX);
        let floor = floor.unwrap_or(lines.carry);
        let ceiling = self.index.ceiling(block).unwrap_or(i64::MAX);
        self.loaded = Some(Loaded {
            block,
            keys: lines.keys(floor, ceiling).into(),
            lines,
            mask,
        });
        Ok(())
    }

    /// The mask of a block; that of the block it stands in is known.
    fn mask(&self, view: &Shared, block: u64, budget: &Budget) -> Result<Option<Mask>> {
        match &self.loaded {
            Some(loaded) if loaded.block == block => Ok(Some(loaded.mask.clone())),
            _ => view.mask(&self.source, &self.index, block, budget),
        }
    }

    /// Goes to the first passing line at or after this place.
    pub(crate) fn forward(&mut self, view: &Shared, mut block: u64, mut line: usize, budget: &Budget) -> Result<()> {
        self.line = None;
        block = block.max(self.index.first_block);
        while block < self.index.blocks {
            let Some(mask) = self.mask(view, block, budget)? else {
                return Ok(());
            };
            let empty = self.index.block(block).is_some_and(|b| b.lines == 0);
            if mask != Mask::None && !empty {
                self.load(view, block, mask)?;
                if let Some(loaded) = &self.loaded
                    && let Some(found) = loaded.mask.next(line, loaded.lines.list.len())
                {
                    self.line = Some(found);
                    return Ok(());
                }
            }
            line = 0;
            block = view.skip(&self.source, &self.index, block, true);
        }
        Ok(())
    }

    /// Goes to the last passing line at or before this place; `usize::MAX` is the block's end.
    pub(crate) fn backward(&mut self, view: &Shared, mut block: u64, mut line: usize, budget: &Budget) -> Result<()> {
        self.line = None;
        if self.index.blocks == 0 {
            return Ok(());
        }
        if block >= self.index.blocks {
            (block, line) = (self.index.blocks - 1, usize::MAX);
        }
        loop {
            let Some(mask) = self.mask(view, block, budget)? else {
                return Ok(());
            };
            let empty = self.index.block(block).is_some_and(|b| b.lines == 0);
            if mask != Mask::None && !empty {
                self.load(view, block, mask)?;
                if let Some(loaded) = &self.loaded
                    && let Some(last) = loaded.lines.list.len().checked_sub(1)
                    && let Some(found) = loaded.mask.back(line.min(last))
                {
                    self.line = Some(found);
                    return Ok(());
                }
            }
            line = usize::MAX;
            let next = view.skip(&self.source, &self.index, block, false);
            if next >= block || next < self.index.first_block {
                return Ok(());
            }
            block = next;
        }
    }

    pub(crate) fn step(&mut self, view: &Shared, forward: bool, budget: &Budget) -> Result<()> {
        let Some((block, line, _)) = self.here() else {
            return Ok(());
        };
        match (forward, line.checked_sub(1)) {
            (true, _) => self.forward(view, block, line + 1, budget),
            (false, Some(before)) => self.backward(view, block, before, budget),
            (false, None) if block > self.index.first_block => self.backward(view, block - 1, usize::MAX, budget),
            (false, None) => {
                self.line = None;
                Ok(())
            }
        }
    }

    /// The place of the first line whose key is at least `key` (or greater, when `after`), passing or not.
    pub(crate) fn bound(&mut self, view: &Shared, key: i64, after: bool) -> Result<(u64, usize)> {
        let key = key.saturating_sub(self.source.offset());
        let (mut low, mut high) = (self.index.first_block, self.index.blocks);
        while low < high {
            let middle = low + (high - low) / 2;
            let top = match self.index.ceiling(middle) {
                Some(top) => top,
                None => {
                    let lines = view.lines(&self.source, &self.index, middle)?;
                    lines.list.iter().map(|line| line.time).max().unwrap_or(lines.carry)
                }
            };
            if top < key || (after && top == key) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if low >= self.index.blocks {
            return Ok((self.index.blocks, 0));
        }
        self.load(view, low, Mask::All)?;
        let line = self
            .loaded
            .as_ref()
            .map_or(0, |l| l.keys.partition_point(|k| *k < key || (after && *k == key)));
        // The mask of this look is not the view's.
        self.loaded = None;
        Ok((low, line))
    }
}

/// All streams of a view, standing at one place of the merged order.
pub(crate) struct Walk<'v> {
    view: &'v Shared,
    pub streams: Vec<Stream>,
    pub budget: Budget,
}

/// Where a walk begins.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    Start,
    End,
    At(Pos),
    /// The first line not before this key.
    Key(i64),
}

impl<'v> Walk<'v> {
    pub(crate) fn new(view: &'v Shared, budget: u32) -> Walk<'v> {
        Walk::with(view, Budget::new(budget))
    }

    pub(crate) fn with(view: &'v Shared, budget: Budget) -> Walk<'v> {
        Walk {
            view,
            streams: view.sources().iter().map(Stream::new).collect(),
            budget,
        }
    }

    /// The raw place of each stream just before which the walk stands.
    pub(crate) fn places(&mut self, place: Place) -> Result<Vec<(u64, usize)>> {
        let view = self.view;
        let mut places = Vec::with_capacity(self.streams.len());
        match place {
            Place::Start => places.extend(self.streams.iter().map(|s| (s.index.first_block, 0))),
            Place::End => places.extend(self.streams.iter().map(|s| (s.index.blocks, 0))),
            Place::Key(key) => {
                for stream in &mut self.streams {
                    places.push(stream.bound(view, key, false)?);
                }
            }
            Place::At(pos) => {
                let alone = self.streams.len() == 1;
                let Some(own) = self.streams.iter().position(|s| s.source.id == pos.source) else {
                    return self.places(Place::End);
                };
                let stream = &mut self.streams[own];
                if stream.index.generation != pos.generation || pos.block >= stream.index.blocks {
                    return self.places(Place::End);
                }
                let (block, line) = if pos.block < stream.index.first_block {
                    (stream.index.first_block, 0)
                } else {
                    (pos.block, pos.line as usize)
                };
                if alone {
                    return Ok(vec![(block, line)]);
                }
                stream.load(view, block, Mask::All)?;
                let keys = stream.loaded.as_ref().map(|l| Arc::clone(&l.keys));
                let key = keys.and_then(|k| k.get(line).or(k.last()).copied()).unwrap_or(NONE);
                let key = if key == NONE {
                    NONE
                } else {
                    key.saturating_add(stream.source.offset())
                };
                stream.loaded = None;
                for (n, stream) in self.streams.iter_mut().enumerate() {
                    places.push(if n == own {
                        (block, line)
                    } else {
                        stream.bound(view, key, n < own)?
                    });
                }
            }
        }
        Ok(places)
    }

    /// Puts every stream on its first passing line at or after its place.
    pub(crate) fn face_forward(&mut self, places: &[(u64, usize)]) -> Result<()> {
        for (stream, (block, line)) in self.streams.iter_mut().zip(places) {
            stream.forward(self.view, *block, *line, &self.budget)?;
        }
        Ok(())
    }

    /// Puts every stream on its last passing line before its place.
    pub(crate) fn face_backward(&mut self, places: &[(u64, usize)]) -> Result<()> {
        for (stream, (block, line)) in self.streams.iter_mut().zip(places) {
            match line.checked_sub(1) {
                Some(before) => stream.backward(self.view, *block, before, &self.budget)?,
                None if *block > stream.index.first_block => {
                    stream.backward(self.view, block - 1, usize::MAX, &self.budget)?
                }
                None => stream.line = None,
            }
        }
        Ok(())
    }

    /// The stream whose line is next in this direction.
    pub(crate) fn best(&self, forward: bool) -> Option<usize> {
        let keyed = self
            .streams
            .iter()
            .enumerate()
            .filter_map(|(n, s)| s.key().map(|key| (key, n)));
        if forward { keyed.min() } else { keyed.max() }.map(|(_, n)| n)
    }

    /// Moves the stream on that was given out.
    pub(crate) fn advance(&mut self, n: usize, forward: bool) -> Result<()> {
        self.streams[n].step(self.view, forward, &self.budget)
    }
}
