//! `get_enrichment_table_record` and `find_enrichment_table_records`.

use std::{collections::BTreeMap, sync::Arc};

use vrl::{diagnostic::Label, prelude::*};

use super::{Filter, Index, Query, Table, Tables};

/// Both functions.
pub(crate) fn all() -> Vec<Box<dyn Function>> {
    vec![Box::new(Search::One), Box::new(Search::All)]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Search {
    One,
    All,
}

fn error(ctx: &FunctionCompileContext, message: String) -> Box<dyn DiagnosticMessage> {
    Box::new(ExpressionError::Error {
        labels: vec![Label::primary(message.clone(), ctx.span())],
        message,
        notes: Vec::new(),
    })
}

impl Function for Search {
    fn identifier(&self) -> &'static str {
        match self {
            Search::One => "get_enrichment_table_record",
            Search::All => "find_enrichment_table_records",
        }
    }

    fn usage(&self) -> &'static str {
        match self {
            Search::One => "Gives the one record of an enrichment table that meets a condition.",
            Search::All => "Gives the records of an enrichment table that meet a condition.",
        }
    }

    fn category(&self) -> &'static str {
        "Enrichment"
    }

    fn return_kind(&self) -> u16 {
        match self {
            Search::One => kind::OBJECT,
            Search::All => kind::ARRAY,
        }
    }

    fn parameters(&self) -> &'static [Parameter] {
        const P: &[Parameter] = &[
            Parameter::required("table", kind::BYTES, "The table's name."),
            Parameter::required(
                "condition",
                kind::OBJECT,
                "The fields a record must have, with their values.",
            ),
            Parameter::optional("select", kind::ARRAY, "The fields to give; all by default."),
            Parameter::optional("case_sensitive", kind::BOOLEAN, "Whether the case of letters counts."),
            Parameter::optional("wildcard", kind::BYTES, "A value in the table that equals any."),
        ];
        P
    }

    fn examples(&self) -> &'static [Example] {
        &[]
    }

    fn compile(&self, state: &TypeState, ctx: &mut FunctionCompileContext, arguments: ArgumentList) -> Compiled {
        let tables = ctx.get_external_context::<Tables>().cloned().unwrap_or_default();
        let names: Vec<Value> = tables.names().map(Value::from).collect();
        let name = arguments.required_enum("table", &names, state)?;
        let name = name.to_str_lossy().map(|s| s.into_owned()).unwrap_or_default();
        let table = tables
            .get(&name)
            .cloned()
            .ok_or_else(|| error(ctx, format!("Table {name} not loaded")))?;
        let condition = arguments.required_object("condition")?;
        let sensitive = match arguments.optional_literal("case_sensitive", state)? {
            Some(v) => v == Value::Boolean(true),
            None => true,
        };
        let dates = |e: &expression::Expr| match e {
            expression::Expr::Container(expression::Container {
                variant: expression::Variant::Object(o),
            }) => o.contains_key("from") || o.contains_key("to"),
            _ => false,
        };
        let columns: Vec<&str> = condition
            .iter()
            .filter(|(_, e)| !dates(e))
            .map(|(k, _)| k.as_str())
            .collect();
        let index = table.index(&columns, sensitive).map_err(|m| error(ctx, m))?;
        Ok(Call {
            search: *self,
            table,
            condition,
            index: index.map(Arc::new),
            sensitive,
            select: arguments.optional("select"),
            wildcard: arguments.optional("wildcard"),
        }
        .as_expr())
    }
}

#[derive(Debug, Clone)]
struct Call {
    search: Search,
    table: Arc<Table>,
    condition: BTreeMap<KeyString, expression::Expr>,
    index: Option<Arc<Index>>,
    sensitive: bool,
    select: Option<Box<dyn Expression>>,
    wildcard: Option<Box<dyn Expression>>,
}

impl FunctionExpression for Call {
    fn resolve(&self, ctx: &mut Context<'_>) -> Resolved {
        let mut q = Query {
            sensitive: self.sensitive,
            ..Query::default()
        };
        for (name, e) in &self.condition {
            q.filters.push((name.as_str(), Filter::of(e.resolve(ctx)?)?));
        }
        if let Some(select) = &self.select {
            let names = select.resolve(ctx)?.try_array()?;
            let names = names.iter().map(|n| n.try_bytes_utf8_lossy().map(|s| s.into_owned()));
            q.select = Some(names.collect::<Result<_, _>>()?);
        }
        if let Some(w) = &self.wildcard {
            q.wildcard = Some(w.resolve(ctx)?);
        }
        match self.search {
            Search::One => {
                let mut found = self.table.find(&q, self.index.as_deref(), 2)?.into_iter();
                match (found.next(), found.next()) {
                    (Some(one), None) => Ok(Value::Object(one)),
                    (None, _) => Err("No rows found".into()),
                    (Some(_), Some(_)) => Err("More than one row found".into()),
                }
            }
            Search::All => {
                let found = self.table.find(&q, self.index.as_deref(), usize::MAX)?;
                Ok(Value::Array(found.into_iter().map(Value::Object).collect()))
            }
        }
    }

    fn type_def(&self, _: &TypeState) -> TypeDef {
        match self.search {
            Search::One => TypeDef::object(Collection::any()).fallible(),
            Search::All => TypeDef::array(Collection::from_unknown(Kind::object(Collection::any()))).fallible(),
        }
    }
}
