//! SQL text with binds, as a Diesel query that is prepared once per connection.
//!
//! Diesel never caches `sql_query`, which halves the speed of the write path; a `QueryFragment` of our own is cached by
//! its text. So every statement of Tideline is SQL as PostgreSQL reads it, with `$1`, `$2` … each used once, in order.

use diesel::RunQueryDsl;
use diesel::pg::{Pg, PgConnection};
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::{Error, QueryResult};
use diesel::serialize::ToSql;
use diesel::sql_types::{HasSqlType, Untyped};
use std::marker::PhantomData;

/// A statement: fixed text, bound values. Run it with Diesel's `load`, `get_result` and `execute`.
pub struct Sql<'a> {
    text: &'static str,
    binds: Vec<Box<dyn QueryFragment<Pg> + 'a>>,
}

/// A statement of this text.
pub fn sql<'a>(text: &'static str) -> Sql<'a> {
    Sql {
        text,
        binds: Vec::new(),
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

impl QueryFragment<Pg> for Sql<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut rest = self.text;
        for (index, bind) in self.binds.iter().enumerate() {
            let marker = format!("${}", index + 1);
            let (before, after) = rest.split_once(&marker).ok_or_else(|| {
                Error::QueryBuilderError(format!("no {marker} in: {}", self.text).into())
            })?;
            out.push_sql(before);
            bind.walk_ast(out.reborrow())?;
            rest = after;
        }
        out.push_sql(rest);
        Ok(())
    }
}

impl QueryId for Sql<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Sql<'_> {
    type SqlType = Untyped;
}

impl RunQueryDsl<PgConnection> for Sql<'_> {}
