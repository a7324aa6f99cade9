//! The tables that both engines have, and one of them from the file to the database and back.

use aws_lc_rs::digest::{Context, SHA256};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use tokio_postgres::types::ToSql;

use super::TransferError;
use crate::postgres::{Session, column};

/// Rows sent, and read back, at a time. Of the largest documents, 1 MiB each, 64 are 64 MiB in memory.
const AT_ONCE: usize = 64;

/// What a column holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Text or bytes.
    Bytes,
    Number,
}

/// A table of both engines.
pub(super) struct Table {
    pub(super) name: &'static str,
    /// The first ones are its key, by which it is read.
    columns: &'static [(&'static str, Form)],
    key: usize,
    /// What the database wants beside them.
    more: More,
}

/// What only several servers need.
#[derive(Clone, Copy, PartialEq, Eq)]
enum More {
    Nothing,
    /// Ids that the database gives otherwise.
    Ids,
    Server,
    ServerAndTime,
}

use Form::{Bytes, Number};

/// In an order in which they can be written.
pub(super) const TABLES: &[Table] = &[
    Table {
        name: "resource",
        columns: &[
            ("kind", Bytes),
            ("name", Bytes),
            ("parent", Bytes),
            ("document", Bytes),
            ("revision", Number),
            ("created", Number),
            ("updated", Number),
        ],
        key: 2,
        more: More::Nothing,
    },
    Table {
        name: "occurrence",
        columns: &[
            ("name", Bytes),
            ("project", Bytes),
            ("note", Bytes),
            ("digest", Bytes),
            ("resource_uri", Bytes),
            ("kind", Bytes),
            ("document", Bytes),
            ("fingerprint", Bytes),
            ("created", Number),
            ("updated", Number),
        ],
        key: 1,
        more: More::Nothing,
    },
    Table {
        name: "sealed_key",
        columns: &[("name", Bytes), ("sealed", Bytes)],
        key: 1,
        more: More::Nothing,
    },
    Table {
        name: "token",
        columns: &[
            ("id", Bytes),
            ("hash", Bytes),
            ("principal", Bytes),
            ("document", Bytes),
            ("created", Number),
            ("expires", Number),
            ("revoked", Number),
        ],
        key: 1,
        more: More::Nothing,
    },
    Table {
        name: "audit",
        columns: &[
            ("sequence", Number),
            ("time", Number),
            ("principal", Bytes),
            ("method", Bytes),
            ("resource", Bytes),
            ("status_code", Number),
            ("request_id", Bytes),
            ("detail", Bytes),
        ],
        key: 1,
        more: More::Server,
    },
    Table {
        name: "log_cursor",
        columns: &[("reader", Bytes), ("document", Bytes)],
        key: 1,
        more: More::ServerAndTime,
    },
    Table {
        name: "alert_incident",
        columns: &[
            ("id", Bytes),
            ("project", Bytes),
            ("policy", Bytes),
            ("started", Number),
            ("ended", Number),
            ("document", Bytes),
        ],
        key: 1,
        more: More::Server,
    },
    Table {
        name: "alert_delivery",
        columns: &[
            ("sequence", Number),
            ("id", Bytes),
            ("project", Bytes),
            ("channel", Bytes),
            ("incident", Bytes),
            ("begun", Number),
            ("failures", Number),
            ("due", Number),
            ("document", Bytes),
            ("died", Number),
            ("reason", Bytes),
        ],
        key: 1,
        more: More::Nothing,
    },
    Table {
        name: "log_checkpoint",
        columns: &[
            ("origin", Bytes),
            ("verifier_key", Bytes),
            ("note", Bytes),
            ("published", Number),
        ],
        key: 1,
        more: More::Nothing,
    },
    Table {
        name: "merged_checkpoint",
        columns: &[("id", Number), ("number", Number), ("note", Bytes)],
        key: 1,
        more: More::Nothing,
    },
    Table {
        name: "metric_series",
        columns: &[
            ("id", Number),
            ("metric", Bytes),
            ("series", Bytes),
            ("newest", Number),
        ],
        key: 1,
        more: More::Ids,
    },
    Table {
        name: "metric_point",
        columns: &[
            ("id", Number),
            ("series", Number),
            ("minute", Number),
            ("value", Bytes),
        ],
        key: 1,
        more: More::Ids,
    },
];

/// How many rows, and all of them in one number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) rows: u64,
    pub(super) sha256: [u8; 32],
}

/// A sum that grows.
struct Summing {
    rows: u64,
    context: Context,
}

impl Summing {
    fn new() -> Summing {
        Summing {
            rows: 0,
            context: Context::new(&SHA256),
        }
    }

    /// Every value says what it is and how long, so that no two rows read the same.
    fn bytes(&mut self, value: Option<&[u8]>) {
        let Some(bytes) = value else {
            return self.context.update(&[0]);
        };
        self.context.update(&[1]);
        self.context.update(&bytes.len().to_be_bytes());
        self.context.update(bytes);
    }

    fn number(&mut self, value: Option<i64>) {
        let Some(number) = value else {
            return self.context.update(&[0]);
        };
        self.context.update(&[2]);
        self.context.update(&number.to_be_bytes());
    }

    fn finish(self) -> Sum {
        let mut sha256 = [0; 32];
        for (to, from) in sha256.iter_mut().zip(self.context.finish().as_ref()) {
            *to = *from;
        }
        Sum {
            rows: self.rows,
            sha256,
        }
    }
}

/// The values of one column of some rows.
enum Values {
    Bytes(Vec<Option<Vec<u8>>>),
    Numbers(Vec<Option<i64>>),
}

impl Table {
    fn list(&self, alias: fn(&str, Form) -> String) -> String {
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|(name, form)| alias(name, *form))
            .collect();
        columns.join(", ")
    }

    fn order(&self) -> String {
        let key: Vec<&str> = self
            .columns
            .iter()
            .take(self.key)
            .map(|(name, _)| *name)
            .collect();
        key.join(", ")
    }

    fn fresh(&self) -> Vec<Values> {
        let empty = |(_, form): &(&str, Form)| match form {
            Bytes => Values::Bytes(Vec::with_capacity(AT_ONCE)),
            Number => Values::Numbers(Vec::with_capacity(AT_ONCE)),
        };
        self.columns.iter().map(empty).collect()
    }

    fn insertion(&self) -> String {
        let mut arrays: Vec<String> = Vec::new();
        for (place, (_, form)) in (1..).zip(self.columns) {
            let kind = match form {
                Bytes => "bytea[]",
                Number => "bigint[]",
            };
            arrays.push(format!("${place}::{kind}"));
        }
        let server = self.columns.len() + 1;
        let (names, overriding, values) = match self.more {
            More::Nothing => ("", "", String::new()),
            More::Ids => ("", "OVERRIDING SYSTEM VALUE", String::new()),
            More::Server => (", server", "", format!(", ${server}::bytea")),
            More::ServerAndTime => (", server, updated", "", format!(", ${server}::bytea, now()")),
        };
        let columns = self.list(|name, _| name.to_owned());
        let arrays = arrays.join(", ");
        let name = self.name;
        format!("INSERT INTO {name} ({columns}{names}) {overriding} SELECT *{values} FROM unnest({arrays})")
    }

    /// Copies every row; what they come to.
    pub(super) async fn send(
        &self,
        from: &Connection,
        to: &Session,
        server: &str,
    ) -> Result<Sum, TransferError> {
        let insertion = to.prepare(&self.insertion()).await?;
        let (columns, name, order) = (self.list(|name, _| name.to_owned()), self.name, self.order());
        let mut statement = from.prepare(&format!("SELECT {columns} FROM {name} ORDER BY {order}"))?;
        let mut rows = statement.query([])?;
        let mut sum = Summing::new();
        loop {
            let mut batch = self.fresh();
            let mut taken = 0;
            while taken < AT_ONCE
                && let Some(row) = rows.next()?
            {
                for (place, values) in batch.iter_mut().enumerate() {
                    take(row.get_ref(place)?, values, &mut sum)?;
                }
                taken += 1;
                sum.rows += 1;
            }
            if taken == 0 {
                return Ok(sum.finish());
            }
            let server = server.as_bytes();
            let mut values: Vec<&(dyn ToSql + Sync)> = Vec::with_capacity(batch.len() + 1);
            for column in &batch {
                values.push(match column {
                    Values::Bytes(bytes) => bytes,
                    Values::Numbers(numbers) => numbers,
                });
            }
            if matches!(self.more, More::Server | More::ServerAndTime) {
                values.push(&server);
            }
            to.execute_prepared(&insertion, &values).await?;
        }
    }

    /// Reads every row back; what they come to.
    pub(super) async fn received(&self, to: &Session) -> Result<Sum, TransferError> {
        let columns = self.list(|name, form| match form {
            Bytes => name.to_owned(),
            Number => format!("{name}::bigint"),
        });
        let (name, order) = (self.name, self.order());
        let declared =
            format!("DECLARE transferred NO SCROLL CURSOR FOR SELECT {columns} FROM {name} ORDER BY {order}");
        to.run(&declared).await?;
        let fetch = to.prepare(&format!("FETCH {AT_ONCE} FROM transferred")).await?;
        let mut sum = Summing::new();
        loop {
            let rows = to.query_prepared(&fetch).await?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                for (place, (_, form)) in self.columns.iter().enumerate() {
                    match form {
                        Bytes => sum.bytes(column(row, place)?),
                        Number => sum.number(column(row, place)?),
                    }
                }
                sum.rows += 1;
            }
        }
        to.run("CLOSE transferred").await?;
        Ok(sum.finish())
    }
}

/// One value of the file, into its column and into the sum.
fn take(value: ValueRef<'_>, values: &mut Values, sum: &mut Summing) -> Result<(), rusqlite::Error> {
    match values {
        Values::Bytes(column) => {
            let bytes = value.as_bytes_or_null()?;
            sum.bytes(bytes);
            column.push(bytes.map(<[u8]>::to_vec));
        }
        Values::Numbers(column) => {
            let number = value.as_i64_or_null()?;
            sum.number(number);
            column.push(number);
        }
    }
    Ok(())
}
