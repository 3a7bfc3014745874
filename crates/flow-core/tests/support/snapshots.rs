//! Plans that are held to snapshots.

/// A test for each plan: its name is that of its snapshot.
macro_rules! plans {
    ($( $name:ident => $scene:expr; )+) => { $(
        #[test]
        fn $name() {
            insta::with_settings!({ omit_expression => true }, {
                insta::assert_snapshot!(stringify!($name), $scene.text());
            });
        }
    )+ };
}

/// The watermark of the last run.
pub const LAST: &str = "2026-01-01T12:00:00.000123Z";
/// Where the next reading begins.
pub const READ_FROM: &str = "2026-01-01T11:59:58.5Z";
