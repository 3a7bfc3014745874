//! What a database of another engine than the target's is asked for: each column as a type that both have, or as text where
//! that is wished, or not at all.

use super::brought::{Wanted, columns_of, wanted};
use super::gather::relation_read;
use super::run::awake;
use super::targets::Targets;
use super::united::{United, with_query};
use crate::session::{Session, SourceRead};
use crate::transport::asked::QueryRows;
use ematix_flow_arrow::{CopyType, UnscaledNumeric};
use ematix_flow_core::declare::options::OnTypeLoss;
use ematix_flow_core::dialect::Sent;
use ematix_flow_core::engine::EngineFacts;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::facts::SourceColumn;
use ematix_flow_core::hash::Normal;
use ematix_flow_core::planner::parts::{Asked, AskedColumn, OneReading};
use ematix_flow_core::sql::Ident;
use ematix_flow_core::types::DataType;

/// The reading of a query, by the session that reads it.
///
/// # Errors
/// What the source says of the query; `unsupported_by_engine` for a column whose type the target lacks.
pub async fn asked_of(own: &dyn Session, targets: &Targets, target: &dyn Session) -> Result<United> {
    let whole = &targets.whole;
    let query = &whole.source.query;
    let capped = targets.each.iter().any(|target| target.pipeline.incremental.is_some());
    let SourceRead { columns, relation, cap, clock } =
        match awake(target, whole, own.inspector().source(query, capped)).await {
            // Its own session knows which privilege is missing.
            Err(error) => return Err(own.complete(error, query.text()).await),
            Ok(read) => read,
        };
    own.tidy().await?;
    let (from, to) = (own.facts(), target.facts());
    let wanted = wanted(targets, target).await?;
    let mut notes = Vec::new();
    let mut asked = Vec::new();
    for column in &columns {
        let crossing = Crossing { column, wanted: &wanted, from, to, loss: whole.on_type_loss };
        asked.push(AskedColumn {
            name: Ident::new(column.name.clone())?,
            own: column.data_type.clone(),
            sent: crossing.sent(&mut notes)?,
        });
    }
    let sent = asked.iter().map(|column| (column.name.to_string(), column.sent.data_type.clone())).collect();
    let words = format!("the source {} ({})", whole.source.connection, from.title);
    let rows = QueryRows::new(own, &words, "", sent, &whole.limits.read_timeout);
    let (made, mut typed) = columns_of(&rows, &wanted, targets, target).await?;
    for (column, own) in typed.iter_mut().zip(&columns) {
        column.stamped = own.stamped;
    }
    let reading = OneReading {
        connection: whole.source.connection.clone(),
        query: query.clone(),
        columns: typed,
        within: false,
        brought: Some(words),
        asked: Some(Box::new(Asked {
            engine: from,
            columns: asked,
            relation: relation.filter(|relation| relation_read(whole, relation)),
            cap,
            clock,
        })),
        files: Vec::new(),
        notes,
    };
    Ok(United::Several(Box::new(with_query(targets, &made)), vec![reading]))
}

/// A column on its way from one engine to another.
struct Crossing<'a> {
    column: &'a SourceColumn,
    wanted: &'a [Wanted],
    from: &'static EngineFacts,
    to: &'static EngineFacts,
    loss: OnTypeLoss,
}

impl Crossing<'_> {
    /// As what the column is sent; a note where it becomes something else.
    fn sent(&self, notes: &mut Vec<String>) -> Result<Sent> {
        let facts = &self.column.data_type;
        let Some(sent) = self.from.dialect.sends(facts) else {
            return self.as_text("no other engine has its type", notes);
        };
        let Ok(found) = CopyType::of(&self.column.name, &sent.data_type, UnscaledNumeric::Text) else {
            return self.as_text("no other engine has its type", notes);
        };
        let declared = self.wanted.iter().find(|wanted| wanted.column.name == self.column.name);
        let is_decimal =
            declared.is_some_and(|wanted| matches!(wanted.column.data_type, CopyType::Numeric(..)));
        let arrives = DataType::parse(&found.name()).ok();
        if let Some(arrives) = &arrives
            && let Some(loss) = self.to.dialect.type_loss(arrives)
        {
            match arrives {
                DataType::Numeric(None) if is_decimal => {}
                DataType::Numeric(_) => return self.as_text(loss.why, notes),
                _ if declared.is_none() => notes.push(self.becomes(&loss.becomes, loss.why)),
                _ => {}
            }
        } else if facts.normal == Some(Normal::Enum) && declared.is_none() {
            let text = self.to.dialect.type_name(&DataType::Text);
            notes.push(self.becomes(&text, "the labels of an enum stay where they are declared"));
        }
        Ok(sent)
    }

    /// It is sent as text, where that is wished.
    fn as_text(&self, why: &str, notes: &mut Vec<String>) -> Result<Sent> {
        let (own, text) = (self.from.dialect, self.to.dialect.type_name(&DataType::Text));
        let SourceColumn { name, data_type, .. } = self.column;
        if self.loss == OnTypeLoss::Error {
            let message = format!(
                "the column `{name}`, {}, would become {text} in {}: {why}",
                data_type.name, self.to.title
            );
            return Err(FlowError::new(ErrorCode::UnsupportedByEngine, message)
                .hint("cast it in the query, declare the column with a type that both have, or set on_type_loss = \"text\""));
        }
        notes.push(self.becomes(&text, why));
        let cast = own.type_name(&DataType::Text);
        let data_type = own.type_facts(&DataType::Text).expect("a type of ours");
        Ok(Sent { data_type, cast: Some(cast) })
    }

    fn becomes(&self, becomes: &str, why: &str) -> String {
        let SourceColumn { name, data_type, .. } = self.column;
        format!("the column {name}, {}, becomes {becomes}: {why}", data_type.name)
    }
}
