//! Marking frames.

use super::{FramingEncoderConfig, FramingError, LengthDelimited};

/// Marks where frames begin or end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FramingEncoder(FramingEncoderConfig);

impl FramingEncoder {
    /// Frames as this configuration has them.
    pub fn new(config: FramingEncoderConfig) -> FramingEncoder {
        FramingEncoder(config)
    }

    /// How it frames.
    pub fn config(&self) -> &FramingEncoderConfig {
        &self.0
    }

    /// The character after each frame, where there is one.
    pub fn delimiter(&self) -> Option<u8> {
        match self.0 {
            FramingEncoderConfig::CharacterDelimited(c) => Some(c),
            FramingEncoderConfig::NewlineDelimited => Some(b'\n'),
            _ => None,
        }
    }

    /// Whether a frame has something before it.
    pub fn has_header(&self) -> bool {
        matches!(
            self.0,
            FramingEncoderConfig::LengthDelimited(_) | FramingEncoderConfig::VarintLengthDelimited { .. }
        )
    }

    /// Makes what stands in `out` from `start` on a frame.
    ///
    /// # Errors
    /// [`FramingError::Frame`] if it is too long; `out` is as before.
    pub fn frame(&self, out: &mut Vec<u8>, start: usize) -> Result<(), FramingError> {
        match &self.0 {
            FramingEncoderConfig::Bytes => {}
            FramingEncoderConfig::CharacterDelimited(c) => out.push(*c),
            FramingEncoderConfig::NewlineDelimited => out.push(b'\n'),
            FramingEncoderConfig::LengthDelimited(o) => {
                let header = length_header(o, out.len() - start)?;
                out.splice(start..start, header);
            }
            FramingEncoderConfig::VarintLengthDelimited { max_frame_length } => {
                let len = out.len() - start;
                too_long(len, *max_frame_length)?;
                let mut header = Vec::with_capacity(10);
                let mut rest = len as u64;
                while rest >= 0x80 {
                    header.push(rest as u8 | 0x80);
                    rest >>= 7;
                }
                header.push(rest as u8);
                out.splice(start..start, header);
            }
        }
        Ok(())
    }
}

fn too_long(len: usize, max: usize) -> Result<(), FramingError> {
    match len > max {
        true => Err(FramingError::Frame(format!(
            "the frame has {len} bytes, more than {max}"
        ))),
        false => Ok(()),
    }
}

/// Offset bytes are zero, as tokio-util's codec, which Vector uses, writes them.
fn length_header(o: &LengthDelimited, len: usize) -> Result<Vec<u8>, FramingError> {
    too_long(len, o.max_frame_length)?;
    let n = o.length_field_length.clamp(1, 8);
    let len = len as u64;
    if n < 8 && len >> (8 * n) != 0 {
        return Err(FramingError::Frame(format!(
            "the frame's length {len} does not fit {n} bytes"
        )));
    }
    let mut header = vec![0; o.length_field_offset];
    match o.length_field_is_big_endian {
        true => header.extend(len.to_be_bytes().into_iter().skip(8 - n)),
        false => header.extend(len.to_le_bytes().into_iter().take(n)),
    }
    Ok(header)
}
