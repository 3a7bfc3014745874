//! The statements by which feature views are read, whole.

use ematix_flow_core::dialect::postgres::Postgres;
use ematix_flow_core::duration::Duration;
use ematix_flow_core::features::asof::{DeclaredView, Kept, ReadView};
use ematix_flow_core::features::lookup::{self, Keys, When};
use ematix_flow_core::features::training::{Joined, SpineColumn, training_set};
use ematix_flow_core::schema::{LiveColumn, LiveTable};
use ematix_flow_core::sql::Sql;
use ematix_flow_core::types::{TypeFacts, Wire};

fn view(online: bool) -> ReadView {
    let json = serde_json::json!({
        "schema": "features", "name": "users", "version": "v1",
        "keys": ["region", "user_id"], "columns": ["region", "user_id", "mood", "score"], "ttl": "2h", "online": online,
    });
    let kept =
        serde_json::json!({ "effective_from": "valid_from", "effective_to": "upto", "deleted_flag": "gone" });
    let (declared, kept): (DeclaredView, Kept) =
        (serde_json::from_value(json).unwrap(), serde_json::from_value(kept).unwrap());
    ReadView { declared, kept }
}

fn facts(name: &str, oid: Option<u32>) -> TypeFacts {
    TypeFacts { wire: Wire { name: name.to_owned(), oid }, ..TypeFacts::assumed(name.to_owned()) }
}

fn live() -> LiveTable {
    let columns = [
        ("region", "text", Some(25)),
        ("user_id", "bigint", Some(20)),
        ("mood", "app.mood", None),
        ("score", "integer", Some(23)),
    ];
    let column = |(name, data_type, oid): (&str, &str, Option<u32>)| LiveColumn {
        name: name.to_owned(),
        data_type: facts(data_type, oid),
        nullable: true,
        default: None,
        generated: false,
        comment: None,
    };
    LiveTable {
        kind: 'r',
        spread: false,
        columns: columns.map(column).to_vec(),
        indexes: Vec::new(),
        checks: Vec::new(),
        triggers: Vec::new(),
        ours: true,
        comment: None,
        estimated_rows: 0.0,
    }
}

fn asked(online: bool, when: When, keys: Keys) -> String {
    let view = view(online);
    lookup::statement(&view, &live(), &view.declared.columns[1..], when, keys).unwrap()
}

#[test]
fn one_entity_is_one_row_of_what_is_kept_online() {
    insta::assert_snapshot!(asked(true, When::Now, Keys::One));
}

#[test]
fn one_entity_as_of_an_instant_is_the_newest_event() {
    insta::assert_snapshot!(asked(true, When::AsOf, Keys::One));
}

#[test]
fn many_entities_are_arrays() {
    insta::assert_snapshot!(asked(false, When::Now, Keys::Many));
}

#[test]
fn a_training_set_is_one_statement_for_all_views() {
    let joined = |version: &str, known_after| {
        let mut view = view(false);
        view.declared.version = version.to_owned();
        Joined { view, live: live(), max_age: Some(Duration::parse("7d").unwrap()), known_after }
    };
    let spine = Sql::text("SELECT s.c0, s.c1, s.c2, s.c3, s.n FROM spine AS s");
    let columns = [
        ("user_id", "integer", Some(23)),
        ("as_of", "date", Some(1082)),
        ("region", "text", Some(25)),
        ("address", "inet", Some(869)),
    ]
    .map(|(name, data_type, oid)| SpineColumn { name: name.to_owned(), data_type: facts(data_type, oid) });
    let views = [joined("v1", None), joined("v2", Some(7))];
    let (sql, names) = training_set(&spine, &columns, "as_of", &views, None).unwrap();
    let features = ["users_v1__mood", "users_v1__score", "users_v2__mood", "users_v2__score"];
    assert_eq!(names[4..], features);
    insta::assert_snapshot!(sql.to_text(&Postgres));
}
