//! Programs of known shapes, executed on the text of a batch.
//!
//! A program is a [`Plan`] if all its statements are of shapes listed here, a condition is a [`Test`] likewise. They are
//! recognised from VRL's own syntax tree of a source that VRL has compiled. Executing one never guesses: an event for
//! which the answer is not certain, or for which VRL would raise an error, is left to VRL.
//!
//! Statements: `. = parse_json!(.f)`, `. = object!(parse_json!(.f))`, `. |= object!(parse_json!(.f))`,
//! `. = merge(., object!(parse_json!(.f)))`, the same with `parse_logfmt!(.f)`, `parse_key_value!(.f)` and
//! `parse_nginx_log!(.f, "combined")`, `.f = EXPR`, `del(.f)`, `if TEST { … } else { … }`, `.`.
//! Expressions: literals, `.f`, `del(.f)`, `to_int`, `to_float`, `to_string`, `string`, `int`, and `??` between them.
//! Tests: `==`, `!=`, `<`, `<=`, `>`, `>=` of a field and a literal, `exists`, `contains`, `starts_with`, `ends_with`,
//! `match`, `is_null`, `true`, `false`, with `!`, `&&`, `||`. Functions may be called with `!` or without.

mod expr;
mod formats;
mod parse;
mod plan;
mod row;
mod test;

pub use plan::{Part, Plan};
pub use test::Test;
