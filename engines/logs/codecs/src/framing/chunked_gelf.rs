//! GELF's chunks: a message in up to 128 datagrams, each with a header of twelve bytes (magic `1e 0f`, the message's id
//! of eight bytes, the chunk's number, the number of chunks). See Graylog's "GELF via UDP".

use std::{
    collections::{HashMap, VecDeque},
    io::Read,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};

use super::{ChunkedGelfOptions, Decompression, FramingError, HARD_LIMIT};

const MAGIC: [u8; 2] = [0x1e, 0x0f];
const HEADER: usize = 12;
const MAX_CHUNKS: usize = 128;
/// The longest message after decompression, in bytes.
const MAX_INFLATED: usize = HARD_LIMIT;

#[derive(Debug)]
struct Pending {
    since: Instant,
    chunks: Vec<Option<Bytes>>,
    have: usize,
    bytes: usize,
}

/// Puts messages together from datagrams. What stays incomplete for too long is dropped and counted.
#[derive(Debug)]
pub struct ChunkedGelf {
    options: ChunkedGelfOptions,
    pending: HashMap<u64, Pending>,
    /// Ids in the order they came in.
    order: VecDeque<(Instant, u64)>,
    bytes: usize,
    expired: u64,
}

impl ChunkedGelf {
    /// Nothing pending.
    pub fn new(options: ChunkedGelfOptions) -> ChunkedGelf {
        ChunkedGelf {
            options,
            pending: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            expired: 0,
        }
    }

    /// How many messages were dropped because they stayed incomplete.
    pub fn expired(&self) -> u64 {
        self.expired
    }

    /// Takes a datagram; gives the message that it is or completes.
    ///
    /// # Errors
    /// [`FramingError::Frame`]: a bad chunk, a message that is too long, too many pending ones, bad compression.
    pub fn datagram(&mut self, datagram: Bytes) -> Result<Option<Bytes>, FramingError> {
        self.expire(Instant::now());
        if !datagram.starts_with(&MAGIC) {
            return self.inflate(datagram).map(Some);
        }
        match self.chunk(datagram)? {
            Some(message) => self.inflate(message).map(Some),
            None => Ok(None),
        }
    }

    fn expire(&mut self, now: Instant) {
        let timeout = Duration::try_from_secs_f64(self.options.timeout_secs).unwrap_or(Duration::MAX);
        while let Some((since, id)) = self.order.front().copied() {
            let current = self.pending.get(&id).is_some_and(|p| p.since == since);
            if current && now.duration_since(since) < timeout {
                return;
            }
            self.order.pop_front();
            if current {
                self.forget(id);
                self.expired += 1;
            }
        }
    }

    fn forget(&mut self, id: u64) -> Option<Pending> {
        let p = self.pending.remove(&id)?;
        self.bytes = self.bytes.saturating_sub(p.bytes);
        Some(p)
    }

    fn chunk(&mut self, datagram: Bytes) -> Result<Option<Bytes>, FramingError> {
        let bad = |what: String| Err(FramingError::Frame(what));
        let Some((id, &[number, count])) = datagram
            .get(2..10)
            .and_then(|b| b.try_into().ok())
            .map(u64::from_be_bytes)
            .zip(datagram.get(10..HEADER).and_then(|b| <&[u8; 2]>::try_from(b).ok()))
        else {
            return bad(format!("a chunk has {} bytes, fewer than its header", datagram.len()));
        };
        let (number, count) = (usize::from(number), usize::from(count));
        if count == 0 || count > MAX_CHUNKS || number >= count {
            return bad(format!("a chunk says it is number {number} of {count}"));
        }
        let data = datagram.slice(HEADER..);
        if !self.pending.contains_key(&id) {
            let limit = self.options.pending_messages_limit.unwrap_or(usize::MAX);
            if self.pending.len() >= limit || self.bytes + data.len() > HARD_LIMIT {
                return bad(format!("too many messages are incomplete ({})", self.pending.len()));
            }
            let since = Instant::now();
            self.order.push_back((since, id));
            self.pending.insert(
                id,
                Pending {
                    since,
                    chunks: vec![None; count],
                    have: 0,
                    bytes: 0,
                },
            );
        }
        let Some(p) = self.pending.get_mut(&id) else {
            return Ok(None);
        };
        if p.chunks.len() != count {
            let before = p.chunks.len();
            return bad(format!(
                "a chunk says its message has {count} chunks, an earlier one said {before}"
            ));
        }
        match p.chunks.get_mut(number) {
            Some(slot @ None) => {
                p.have += 1;
                p.bytes += data.len();
                self.bytes += data.len();
                *slot = Some(data);
            }
            _ => return Ok(None),
        }
        let (have, bytes) = (p.have, p.bytes);
        if bytes > self.options.max_length.unwrap_or(HARD_LIMIT) || self.bytes > HARD_LIMIT {
            self.forget(id);
            return bad(format!("a message has more than {bytes} bytes, which is too long"));
        }
        if have < count {
            return Ok(None);
        }
        let mut message = BytesMut::with_capacity(bytes);
        for chunk in self
            .forget(id)
            .map(|p| p.chunks)
            .unwrap_or_default()
            .into_iter()
            .flatten()
        {
            message.extend_from_slice(&chunk);
        }
        Ok(Some(message.freeze()))
    }

    fn inflate(&self, message: Bytes) -> Result<Bytes, FramingError> {
        let zlib = |m: &[u8]| match m {
            [a @ 0x78, b, ..] => (u16::from(*a) * 256 + u16::from(*b)).is_multiple_of(31),
            _ => false,
        };
        let how = match self.options.decompression {
            Decompression::Auto if message.starts_with(&[0x1f, 0x8b]) => Decompression::Gzip,
            Decompression::Auto if zlib(&message) => Decompression::Zlib,
            Decompression::Auto => Decompression::None,
            how => how,
        };
        let mut out = Vec::new();
        let limit = MAX_INFLATED as u64 + 1;
        let read = match how {
            Decompression::Gzip => flate2::read::MultiGzDecoder::new(&*message)
                .take(limit)
                .read_to_end(&mut out),
            Decompression::Zlib => flate2::read::ZlibDecoder::new(&*message)
                .take(limit)
                .read_to_end(&mut out),
            Decompression::Auto | Decompression::None => return Ok(message),
        };
        match read {
            Err(e) => Err(FramingError::Frame(format!("a message can't be decompressed: {e}"))),
            Ok(_) if out.len() > MAX_INFLATED => Err(FramingError::Frame(format!(
                "a message has more than {MAX_INFLATED} bytes when it is decompressed"
            ))),
            Ok(_) => Ok(out.into()),
        }
    }
}

/// Cuts a message into datagrams of at most `max` bytes, 13 at least; one that fits goes as it is. `id` should be
/// random.
///
/// # Errors
/// [`FramingError::Frame`] if that takes more than 128.
pub fn gelf_chunks(message: &[u8], max: usize, id: u64) -> Result<Vec<Vec<u8>>, FramingError> {
    if message.len() <= max {
        return Ok(vec![message.to_vec()]);
    }
    let size = max.saturating_sub(HEADER).max(1);
    let count = message.len().div_ceil(size);
    if count > MAX_CHUNKS {
        return Err(FramingError::Frame(format!(
            "the message takes {count} chunks, more than {MAX_CHUNKS}"
        )));
    }
    Ok(message
        .chunks(size)
        .enumerate()
        .map(|(i, data)| {
            let mut chunk = Vec::with_capacity(HEADER + data.len());
            chunk.extend_from_slice(&MAGIC);
            chunk.extend_from_slice(&id.to_be_bytes());
            chunk.extend_from_slice(&[i as u8, count as u8]);
            chunk.extend_from_slice(data);
            chunk
        })
        .collect())
}
