//! The parser in checkpoints: where in a sequence, or in a character, the stream was cut.

use crate::{
    RestoreError,
    codec::{Reader, put, put_bytes, put_len},
    vt::parser::{OSC_MAX, PARAMS_MAX, Parser, State},
};

const STATES: [State; 11] = [
    State::Ground,
    State::Escape,
    State::EscapeInter,
    State::Csi,
    State::CsiInter,
    State::CsiIgnore,
    State::Osc,
    State::Dcs,
    State::DcsInter,
    State::DcsBody,
    State::Swallow,
];

pub(super) fn save(p: &Parser, out: &mut Vec<u8>) {
    put_bytes(out, &p.utf8[..p.utf8_len]);
    let state = STATES.iter().position(|s| *s == p.state).unwrap_or(0);
    put_len(out, state);
    if p.state == State::Ground {
        return;
    }
    out.push(u8::from(p.next_is_sub) | u8::from(p.overfull) << 1 | u8::from(p.text_overfull) << 2);
    put(out, u64::from(p.param));
    out.push(p.last);
    put_bytes(out, &p.inter[..p.inter_len]);
    put(out, u64::from(p.params.sub));
    put_len(out, p.params.len);
    for v in &p.params.values[..p.params.len] {
        put(out, u64::from(*v));
    }
    if matches!(p.state, State::Osc | State::DcsBody) {
        put_bytes(out, &p.text);
    }
}

pub(super) fn load(r: &mut Reader<'_>) -> Result<Parser, RestoreError> {
    let mut p = Parser::new();
    let utf8 = r.bytes(3)?;
    // What is kept is the beginning of a character, and more must come.
    let cut = |e: std::str::Utf8Error| e.valid_up_to() == 0 && e.error_len().is_none();
    r.check(utf8.is_empty() || std::str::from_utf8(utf8).is_err_and(cut))?;
    p.utf8[..utf8.len()].copy_from_slice(utf8);
    p.utf8_len = utf8.len();
    p.state = STATES[r.len(STATES.len() - 1)?];
    if p.state == State::Ground {
        return Ok(p);
    }
    let flags = r.byte()?;
    p.next_is_sub = flags & 1 != 0;
    p.overfull = flags & 2 != 0;
    p.text_overfull = flags & 4 != 0;
    p.param = r.u16()?;
    p.last = r.byte()?;
    let inter = r.bytes(p.inter.len())?;
    p.inter[..inter.len()].copy_from_slice(inter);
    p.inter_len = inter.len();
    p.params.sub = r.u32()?;
    p.params.len = r.count(PARAMS_MAX)?;
    for i in 0..p.params.len {
        p.params.values[i] = r.u16()?;
    }
    if matches!(p.state, State::Osc | State::DcsBody) {
        p.text = r.bytes(OSC_MAX)?.to_vec();
    }
    Ok(p)
}
