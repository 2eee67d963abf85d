//! SQL text with bound values, as a Diesel query that is prepared once per connection.
//!
//! Diesel 2.3 never caches `sql_query`, which halves the speed of the writer (docs/UPSTREAM.md). It caches our own
//! `QueryFragment` by its text. Every statement is plain SQL with `$1`, `$2` …, each used once, in order.

use diesel::RunQueryDsl;
use diesel::pg::{Pg, PgConnection};
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::{Error, QueryResult};
use diesel::serialize::ToSql;
use diesel::sql_types::{HasSqlType, Untyped};
use std::marker::PhantomData;

/// A statement: fixed text and bound values. Run it with Diesel's `load`, `get_result` and `execute`. Rows are read by column
/// name, or by position after [`Sql::columns`] or [`Sql::scalar`].
pub struct Sql<'a, ST = Untyped> {
    text: &'static str,
    binds: Vec<Box<dyn QueryFragment<Pg> + 'a>>,
    columns: PhantomData<ST>,
}

/// A statement with this text.
pub fn sql<'a>(text: &'static str) -> Sql<'a> {
    Sql {
        text,
        binds: Vec::new(),
        columns: PhantomData,
    }
}

impl<'a> Sql<'a> {
    /// Binds the next value, as the SQL type `ST`.
    #[must_use]
    pub fn bind<ST, V>(mut self, value: V) -> Self
    where
        ST: 'a,
        V: ToSql<ST, Pg> + 'a,
        Pg: HasSqlType<ST>,
    {
        self.binds
            .push(Box::new(Bound::<ST, V>(value, PhantomData)));
        self
    }

    /// Reads the columns by position, as these types. For hot paths: reading by name searches the names of all columns for
    /// each value of each row.
    pub fn columns<ST>(self) -> Sql<'a, ST> {
        Sql {
            text: self.text,
            binds: self.binds,
            columns: PhantomData,
        }
    }

    /// Reads the only column, as this type.
    pub fn scalar<ST>(self) -> Sql<'a, ST> {
        self.columns()
    }
}

struct Bound<ST, V>(V, PhantomData<ST>);

impl<ST, V> QueryFragment<Pg> for Bound<ST, V>
where
    V: ToSql<ST, Pg>,
    Pg: HasSqlType<ST>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_bind_param::<ST, V>(&self.0)
    }
}

impl<ST> QueryFragment<Pg> for Sql<'_, ST> {
    /// Diesel calls this several times for each execution.
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut rest = self.text;
        for (index, bind) in self.binds.iter().enumerate() {
            let (before, after) = split(rest, index + 1).ok_or_else(|| {
                Error::QueryBuilderError(format!("no ${} in: {}", index + 1, self.text).into())
            })?;
            out.push_sql(before);
            bind.walk_ast(out.reborrow())?;
            rest = after;
        }
        out.push_sql(rest);
        Ok(())
    }
}

/// The text before and after the next `$n`. None if `n` is not `marker`.
fn split(text: &str, marker: usize) -> Option<(&str, &str)> {
    let (at, digits) = text.match_indices('$').find_map(|(at, _)| {
        let rest = text.get(at + 1..)?.bytes();
        let digits = rest.take_while(u8::is_ascii_digit).count();
        (digits > 0).then_some((at, digits))
    })?;
    let (before, rest) = text.split_at_checked(at)?;
    let (number, after) = rest.get(1..)?.split_at_checked(digits)?;
    (number.parse() == Ok(marker)).then_some((before, after))
}

impl<ST> QueryId for Sql<'_, ST> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<ST> Query for Sql<'_, ST> {
    type SqlType = ST;
}

impl<ST> RunQueryDsl<PgConnection> for Sql<'_, ST> {}
