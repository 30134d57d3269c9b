//! Connections that read, as many as there are readers at once, and no more than were asked for.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use qd_kv_model::{Cf, Direction, Pair, Range, ReadError, Snapshot};
use rusqlite::Connection;

use crate::{StoreDir, StoreError, kvdb, pragma};

/// Gives views of the data. Clones share the connections.
#[derive(Debug, Clone)]
pub struct Readers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    idle: Mutex<Idle>,
    back: Condvar,
}

#[derive(Debug)]
struct Idle {
    open: usize,
    most: usize,
    free: Vec<Connection>,
}

impl Readers {
    /// At most `most` at once (at least one). None is opened before it is needed.
    pub fn new(dir: &StoreDir, most: usize) -> Self {
        Self(Arc::new(Shared {
            path: dir.file("kv.db"),
            idle: Mutex::new(Idle {
                open: 0,
                most: most.max(1),
                free: Vec::new(),
            }),
            back: Condvar::new(),
        }))
    }

    /// The data as it is now, until the view is dropped. Waits while all connections are in use.
    ///
    /// # Errors
    /// When the database cannot be opened or read.
    pub fn view(&self) -> Result<View, StoreError> {
        let db = self.take()?;
        let view = View {
            db: Some(db),
            home: self.clone(),
        };
        // A transaction sees the moment of its first read, so there is one at once.
        view.conn()?
            .execute_batch("BEGIN; SELECT 1 FROM region LIMIT 1")
            .map_err(StoreError::sql("read", &self.0.path))?;
        Ok(view)
    }

    fn take(&self) -> Result<Connection, StoreError> {
        let mut idle = self.0.idle.lock();
        loop {
            if let Some(db) = idle.free.pop() {
                return Ok(db);
            }
            if idle.open < idle.most {
                idle.open += 1;
                drop(idle);
                return pragma::open_reader(&self.0.path, 1024).inspect_err(|_| self.lost());
            }
            self.0.back.wait(&mut idle);
        }
    }

    fn lost(&self) {
        self.0.idle.lock().open -= 1;
        self.0.back.notify_one();
    }
}

/// The data at one moment. A view that is kept long keeps checkpoints from being complete.
#[derive(Debug)]
pub struct View {
    db: Option<Connection>,
    home: Readers,
}

impl View {
    fn conn(&self) -> Result<&Connection, StoreError> {
        self.db.as_ref().ok_or_else(|| StoreError::Stopped {
            path: self.home.0.path.clone(),
        })
    }
}

impl Drop for View {
    fn drop(&mut self) {
        match self.db.take() {
            Some(db) if db.execute_batch("COMMIT").is_ok() => {
                self.home.0.idle.lock().free.push(db);
                self.home.0.back.notify_one();
            }
            _ => self.home.lost(),
        }
    }
}

impl Snapshot for View {
    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        kvdb::get(self.conn()?, cf, key)
    }

    fn scan(&self, cf: Cf, range: Range<'_>, limit: usize, direction: Direction) -> Result<Vec<Pair>, ReadError> {
        kvdb::scan(self.conn()?, cf, range, limit, direction)
    }
}
