//! The functions programs can call: VRL's library, and those of the pipeline.

use vrl::{diagnostic::Label, prelude::*, stdlib::ToUnixTimestamp};

use crate::enrichment;

/// Every function.
pub(crate) fn all() -> Vec<Box<dyn Function>> {
    let mut all = vrl::stdlib::all();
    all.push(Box::new(GetSecret));
    all.push(Box::new(SetSecret));
    all.push(Box::new(RemoveSecret));
    all.push(Box::new(SetSemanticMeaning));
    all.extend(enrichment::functions::all());
    all
}

/// Every function, of those whose meaning changed the older one: before VRL 0.38 `to_unix_timestamp` could not fail in
/// nanoseconds either, and programs were written without a word about its failure.
pub(crate) fn older() -> Vec<Box<dyn Function>> {
    let mut all = all();
    let name = ToUnixTimestamp.identifier();
    all.retain(|f| f.identifier() != name);
    all.push(Box::new(OlderUnixTimestamp));
    all
}

/// Whether a program may have another meaning with the older functions.
pub(crate) fn may_be_older(source: &str) -> bool {
    source.contains(ToUnixTimestamp.identifier())
}

#[derive(Debug, Clone, Copy)]
struct OlderUnixTimestamp;

impl Function for OlderUnixTimestamp {
    fn identifier(&self) -> &'static str {
        ToUnixTimestamp.identifier()
    }

    fn usage(&self) -> &'static str {
        ToUnixTimestamp.usage()
    }

    fn category(&self) -> &'static str {
        ToUnixTimestamp.category()
    }

    fn return_kind(&self) -> u16 {
        ToUnixTimestamp.return_kind()
    }

    fn parameters(&self) -> &'static [Parameter] {
        ToUnixTimestamp.parameters()
    }

    fn examples(&self) -> &'static [Example] {
        ToUnixTimestamp.examples()
    }

    fn compile(&self, state: &TypeState, context: &mut FunctionCompileContext, arguments: ArgumentList) -> Compiled {
        let call = ToUnixTimestamp.compile(state, context, arguments)?;
        Ok(OlderUnixTimestampCall(call).as_expr())
    }
}

/// The call of the library. A time that has no such number ends the program, as every error does that it does not handle.
#[derive(Debug, Clone)]
struct OlderUnixTimestampCall(Box<dyn Expression>);

impl FunctionExpression for OlderUnixTimestampCall {
    fn resolve(&self, ctx: &mut Context<'_>) -> Resolved {
        self.0.resolve(ctx)
    }

    fn type_def(&self, _: &TypeState) -> TypeDef {
        TypeDef::integer().infallible()
    }
}

#[derive(Debug, Clone, Copy)]
struct GetSecret;

impl Function for GetSecret {
    fn identifier(&self) -> &'static str {
        "get_secret"
    }

    fn usage(&self) -> &'static str {
        "Gives the event's secret of this name, or null."
    }

    fn category(&self) -> &'static str {
        "Event"
    }

    fn return_kind(&self) -> u16 {
        kind::BYTES | kind::NULL
    }

    fn parameters(&self) -> &'static [Parameter] {
        const P: &[Parameter] = &[Parameter::required("key", kind::BYTES, "The secret's name.")];
        P
    }

    fn examples(&self) -> &'static [Example] {
        &[]
    }

    fn compile(&self, _: &TypeState, _: &mut FunctionCompileContext, arguments: ArgumentList) -> Compiled {
        let key = arguments.required("key");
        Ok(GetSecretCall { key }.as_expr())
    }
}

#[derive(Debug, Clone)]
struct GetSecretCall {
    key: Box<dyn Expression>,
}

impl FunctionExpression for GetSecretCall {
    fn resolve(&self, ctx: &mut Context<'_>) -> Resolved {
        let key = self.key.resolve(ctx)?;
        let key = key.try_bytes_utf8_lossy()?.into_owned();
        Ok(ctx.target().get_secret(&key).map_or(Value::Null, Value::from))
    }

    fn type_def(&self, _: &TypeState) -> TypeDef {
        TypeDef::bytes().add_null().infallible()
    }
}

#[derive(Debug, Clone, Copy)]
struct SetSecret;

impl Function for SetSecret {
    fn identifier(&self) -> &'static str {
        "set_secret"
    }

    fn usage(&self) -> &'static str {
        "Keeps a secret with the event."
    }

    fn category(&self) -> &'static str {
        "Event"
    }

    fn return_kind(&self) -> u16 {
        kind::NULL
    }

    fn parameters(&self) -> &'static [Parameter] {
        const P: &[Parameter] = &[
            Parameter::required("key", kind::BYTES, "The secret's name."),
            Parameter::required("secret", kind::BYTES, "The secret."),
        ];
        P
    }

    fn examples(&self) -> &'static [Example] {
        &[]
    }

    fn compile(&self, _: &TypeState, _: &mut FunctionCompileContext, arguments: ArgumentList) -> Compiled {
        Ok(SetSecretCall {
            key: arguments.required("key"),
            secret: arguments.required("secret"),
        }
        .as_expr())
    }
}

#[derive(Debug, Clone)]
struct SetSecretCall {
    key: Box<dyn Expression>,
    secret: Box<dyn Expression>,
}

impl FunctionExpression for SetSecretCall {
    fn resolve(&self, ctx: &mut Context<'_>) -> Resolved {
        let key = self.key.resolve(ctx)?;
        let secret = self.secret.resolve(ctx)?;
        let key = key.try_bytes_utf8_lossy()?;
        let secret = secret.try_bytes_utf8_lossy()?;
        ctx.target_mut().insert_secret(&key, &secret);
        Ok(Value::Null)
    }

    fn type_def(&self, _: &TypeState) -> TypeDef {
        TypeDef::null().infallible().impure()
    }
}

#[derive(Debug, Clone, Copy)]
struct RemoveSecret;

impl Function for RemoveSecret {
    fn identifier(&self) -> &'static str {
        "remove_secret"
    }

    fn usage(&self) -> &'static str {
        "Forgets a secret of the event."
    }

    fn category(&self) -> &'static str {
        "Event"
    }

    fn return_kind(&self) -> u16 {
        kind::NULL
    }

    fn parameters(&self) -> &'static [Parameter] {
        const P: &[Parameter] = &[Parameter::required("key", kind::BYTES, "The secret's name.")];
        P
    }

    fn examples(&self) -> &'static [Example] {
        &[]
    }

    fn compile(&self, _: &TypeState, _: &mut FunctionCompileContext, arguments: ArgumentList) -> Compiled {
        let key = arguments.required("key");
        Ok(RemoveSecretCall { key }.as_expr())
    }
}

#[derive(Debug, Clone)]
struct RemoveSecretCall {
    key: Box<dyn Expression>,
}

impl FunctionExpression for RemoveSecretCall {
    fn resolve(&self, ctx: &mut Context<'_>) -> Resolved {
        let key = self.key.resolve(ctx)?;
        let key = key.try_bytes_utf8_lossy()?;
        ctx.target_mut().remove_secret(&key);
        Ok(Value::Null)
    }

    fn type_def(&self, _: &TypeState) -> TypeDef {
        TypeDef::null().infallible().impure()
    }
}

/// Accepted as Vector accepts it. Meanings belong to Vector's schemas, which our pipeline does not have, so that nothing
/// follows from it.
#[derive(Debug, Clone, Copy)]
struct SetSemanticMeaning;

impl Function for SetSemanticMeaning {
    fn identifier(&self) -> &'static str {
        "set_semantic_meaning"
    }

    fn usage(&self) -> &'static str {
        "Names what a field means. Has no effect when the program runs."
    }

    fn category(&self) -> &'static str {
        "Event"
    }

    fn return_kind(&self) -> u16 {
        kind::NULL
    }

    fn parameters(&self) -> &'static [Parameter] {
        const P: &[Parameter] = &[
            Parameter::required("target", kind::ANY, "The field."),
            Parameter::required("meaning", kind::BYTES, "What it means."),
        ];
        P
    }

    fn examples(&self) -> &'static [Example] {
        &[]
    }

    fn compile(&self, state: &TypeState, ctx: &mut FunctionCompileContext, arguments: ArgumentList) -> Compiled {
        let query = arguments.required_query("target")?;
        arguments.required_literal("meaning", state)?;
        if query.external_path().is_none() {
            return Err(Box::new(ExpressionError::Error {
                message: "semantic meaning is not valid for local variables".to_owned(),
                labels: vec![Label::primary(
                    "this path must point to an event or metadata",
                    ctx.span(),
                )],
                notes: Vec::new(),
            }));
        }
        Ok(Nothing.as_expr())
    }
}

#[derive(Debug, Clone)]
struct Nothing;

impl FunctionExpression for Nothing {
    fn resolve(&self, _: &mut Context<'_>) -> Resolved {
        Ok(Value::Null)
    }

    fn type_def(&self, _: &TypeState) -> TypeDef {
        TypeDef::null().infallible().impure()
    }
}
