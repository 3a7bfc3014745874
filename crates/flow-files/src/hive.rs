//! Columns that stand in paths: `year=2026/month=01/`. Pure.

/// What stands for NULL where a path must have a name.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// Names and values of a path's folders, in their order.
pub fn partitions(path: &str) -> Vec<(String, Option<String>)> {
    let folders = path.rsplit_once('/').map_or("", |(folders, _)| folders);
    folders
        .split('/')
        .filter_map(|folder| folder.split_once('='))
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, value)| (decoded(name), (value != NULL).then(|| decoded(value))))
        .collect()
}

/// `a%2Fb` as `a/b`; what is no such escape, or no UTF-8, stays as it is.
pub fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escaped {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_with_a_name_and_a_value_are_columns() {
        let found = partitions(
            "s3://lake/orders/year=2026/city=S%C3%A3o%2FP%zz/day=__HIVE_DEFAULT_PARTITION__/a=b.csv",
        );
        let expected = [("year", Some("2026")), ("city", Some("São/P%zz")), ("day", None)];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.map(str::to_owned))));
    }
}
